"""speedscope, npm's package, in headless Chromium: opens a file as a user would, and says what it shows of it."""

import functools
import http.server
import json
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import pprof

PAGE = pprof.BUILD / "third_party/speedscope/node_modules/speedscope/dist/release"
PATIENCE = 60


def why_not():
    """Why it cannot be run here; None where it can."""
    if not PAGE.is_dir():
        return "speedscope is not installed (tools/deps; npm)"
    if shutil.which("chromium") is None:
        return "there is no chromium"
    try:
        import websocket  # noqa: F401: Debian's python3-websocket
    except ImportError:
        return "there is no python3-websocket"
    return None


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def _serve(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _poll(what, get):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if answer := get():
                return answer
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError(what)


class Speedscope:
    """An open page with a file in it. A context manager."""

    def __init__(self, path):
        self._path = pathlib.Path(path)

    def __enter__(self):
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="speedscope-"))
        shutil.copytree(PAGE, self._folder / "page")
        shutil.copy(self._path, self._folder / "page" / self._path.name)
        self._server = _serve(self._folder / "page")
        command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--use-gl=angle",
                   "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-extensions", "--disable-background-networking", "--disable-component-update",
                   f"--user-data-dir={self._folder}/chromium", "--remote-debugging-port=0", "--window-size=1400,700",
                   "about:blank"]
        self._errors = open(self._folder / "errors", "wb")
        self._chromium = subprocess.Popen(command, stdout=self._errors, stderr=self._errors)
        try:
            self._connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._chromium.terminate()
        try:
            self._chromium.wait(20)
        except subprocess.TimeoutExpired:
            self._chromium.kill()
            self._chromium.wait()
        self._server.shutdown()
        self._server.server_close()
        self._errors.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _connect(self):
        import websocket
        port_file = self._folder / "chromium/DevToolsActivePort"
        port = int(_poll("chromium did not start", lambda: self._is_alive() and port_file.exists() and
                         port_file.read_text().split("\n")[0]))
        pages = json.loads(_poll("no list of pages", lambda: urllib.request.urlopen(
            f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE).read()))
        url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        self._socket = websocket.create_connection(url, timeout=PATIENCE, suppress_origin=True)
        self._next = 0
        name = urllib.parse.quote(self._path.name)
        self._call("Page.navigate", url=f"http://127.0.0.1:{self._server.server_address[1]}/index.html"
                                        f"#profileURL=/{name}")
        _poll("speedscope did not open the file: " + self.text(), lambda: "Time Order" in self.text() and self.title())

    def _is_alive(self):
        if self._chromium.poll() is not None:
            raise RuntimeError("chromium does not run here: " + (self._folder / "errors").read_text(errors="replace"))
        return True

    def _call(self, method, **parameters):
        self._next += 1
        self._socket.send(json.dumps({"id": self._next, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._next:
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, script):
        return self._call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "",
                       windowsVirtualKeyCode=ord(key.upper()))

    def text(self):
        return self.evaluate("document.body ? document.body.innerText : ''") or ""

    def title(self):
        """Of the profile that is shown, with its number: "name (1/9)"."""
        lines = [line for line in self.text().splitlines() if line.endswith(")") and "/" in line and "(" in line]
        return lines[0].strip() if lines else ""

    def profiles(self, count):
        """What it calls each of its profiles, and the frames that it lists in it."""
        shown = {}
        self.press("3")
        _poll("no list of frames", lambda: "Symbol Name" in self.text())
        for _ in range(count):
            title = self.title()
            # A time in each line but the frames'.
            lines = self.text().splitlines()
            start = next(i for i, line in enumerate(lines) if "Symbol Name" in line)
            shown[title] = [line.strip() for line in lines[start + 1:] if line.strip() and not line.rstrip().endswith("%)")]
            self.press("n")
            if len(shown) < count:
                _poll("no next profile after " + title, lambda: self.title() != title)
        return shown

    def picture(self, path):
        import base64
        pathlib.Path(path).write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))
