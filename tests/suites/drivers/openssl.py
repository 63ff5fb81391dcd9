#!/usr/bin/python3
"""What the program openssl does; what comes of it is printed, a line for each check, without figures.

    drivers/openssl.py TEST
"""

import os
import pathlib
import re
import signal
import subprocess
import sys

LIMIT = 120
KEYS = {"rsa": ["rsa:2048"], "ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "ed25519": ["ed25519"]}


def check(name, value):
    print(f"check {name}: {value}", flush=True)


def run(*words, data=b""):
    """(exit code, stdout, stderr without libprof's lines)"""
    done = subprocess.run(["openssl", *words], input=data, capture_output=True, timeout=LIMIT)
    return done.returncode, done.stdout, "\n".join(line for line in done.stderr.decode().splitlines() if not line.startswith("libprof:"))


def shape(text):
    """The words of the lines, without figures."""
    return " | ".join(re.sub(r"[\d.]+", "N", " ".join(line.split())) for line in text.splitlines())


def test_speed():
    for words in (["-evp", "aes-128-gcm"], ["sha256"], ["rsa2048"], ["ecdsap256"], ["-evp", "chacha20-poly1305", "-multi", "3"],
                  ["-multi", "2", "ecdhx25519"], ["-async_jobs", "2", "-evp", "aes-128-cbc"]):
        code, output, error = run("speed", "-seconds", "1", *([] if any(word[:2] in ("rs", "ec") for word in words) else ["-bytes", "1024"]), *words)
        kept = [line for line in output.decode().splitlines() if not line.startswith(("Got:", "Forked", "version", "built", "options", "compiler", "CPUINFO"))]
        check(f"speed {' '.join(words)}", f"{code} {shape(chr(10).join(sorted(kept)))}")


def certificates():
    """NAME.key, NAME.pem for each kind of key, signed by themselves; a client's, and one that nobody trusts."""
    for name, key in (KEYS | {"client": KEYS["ecdsa"], "stranger": KEYS["ecdsa"]}).items():
        code, _, error = run("req", "-x509", "-newkey", key[0], *key[1:], "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2",
                             "-subj", f"/CN={name}")
        check(f"certificate {name}", code)


class Server:
    """openssl s_server on a free port; it answers each connection with a page, or ends with a number of them."""

    def __init__(self, *words):
        self.process = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if line.startswith("ACCEPT"):
                self.port = line.split(":")[-1].strip()
                return

    def end(self, number=None):
        if number:
            self.process.send_signal(number)
        self.process.stdout.read()
        return self.process.wait(LIMIT)


OUTCOME = re.compile(r"^ *((?:New|Reused), .*|Verify return code: .*|Verification.*|Peer signing.*|Server Temp Key.*|Secure Renegotiation.*|Early data.*|"
                     r"HTTP/1.*|.*alert.*|Server public key.*|ALPN.*|Acceptable client certificate.*)$", re.MULTILINE)


def connect(server, *words, data=b"GET / HTTP/1.0\r\n\r\n"):
    code, output, error = run("s_client", "-connect", f"127.0.0.1:{server.port}", "-ign_eof", *words, data=data)
    found = OUTCOME.findall(output.decode(errors="replace") + error)
    return f"{code} {' | '.join(re.sub(r'^[0-9A-F]+:error', 'error', line).strip() for line in dict.fromkeys(found))}"


def test_handshakes():
    certificates()
    for name in KEYS:
        server = Server("-cert", f"{name}.pem", "-key", f"{name}.key", "-www", "-alpn", "http/1.0")
        trust = ["-CAfile", f"{name}.pem"]
        for protocol in ("tls1_2", "tls1_3"):
            check(f"{name} {protocol}", connect(server, f"-{protocol}", *trust))
            check(f"{name} {protocol} not trusted", connect(server, f"-{protocol}", "-CAfile", "stranger.pem", "-verify_return_error"))
            check(f"{name} {protocol} first", connect(server, f"-{protocol}", *trust, "-sess_out", f"{name}.session"))
            check(f"{name} {protocol} resumed", connect(server, f"-{protocol}", *trust, "-sess_in", f"{name}.session"))
            check(f"{name} {protocol} no ticket", connect(server, f"-{protocol}", *trust, "-no_ticket"))
            for group in ("X25519", "P-256", "P-384"):
                check(f"{name} {protocol} {group}", connect(server, f"-{protocol}", *trust, "-groups", group))
        for cipher in ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"):
            check(f"{name} {cipher}", connect(server, "-tls1_3", *trust, "-ciphersuites", cipher))
        for cipher in ("AES128-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "DHE-RSA-AES256-GCM-SHA384"):
            check(f"{name} {cipher}", connect(server, "-tls1_2", *trust, "-cipher", cipher))
        check(f"{name} too old", connect(server, "-tls1", *trust))
        check(f"{name} alpn", connect(server, *trust, "-alpn", "h2,http/1.0"))
        check(f"{name} server and SIGTERM", server.end(signal.SIGTERM))
    server = Server("-cert", "rsa.pem", "-key", "rsa.key", "-www", "-Verify", "2", "-CAfile", "client.pem", "-verify_return_error")
    for protocol in ("tls1_2", "tls1_3"):
        for who in ("client", "stranger"):
            check(f"{who}'s certificate {protocol}", connect(server, f"-{protocol}", "-CAfile", "rsa.pem", "-cert", f"{who}.pem", "-key", f"{who}.key"))
        check(f"no certificate {protocol}", connect(server, f"-{protocol}", "-CAfile", "rsa.pem"))
    check("server and SIGINT", server.end(signal.SIGINT))
    server = Server("-cert", "ecdsa.pem", "-key", "ecdsa.key", "-www", "-naccept", "2", "-no_renegotiation")
    for i in range(2):
        check(f"of two {i}", connect(server, "-CAfile", "ecdsa.pem"))
    check("server of two", server.end())
    server = Server("-psk", "00112233", "-nocert", "-www")
    for protocol in ("tls1_2", "tls1_3"):
        check(f"psk {protocol}", connect(server, f"-{protocol}", "-psk", "00112233"))
    check("server and SIGKILL", server.end(signal.SIGKILL))


def test_files():
    certificates()
    data = bytes(range(256)) * 4000
    for cipher in ("aes-256-cbc", "aes-128-ctr", "chacha20", "camellia-256-cbc"):
        _, hidden, _ = run("enc", f"-{cipher}", "-pbkdf2", "-pass", "pass:word", data=data)
        check(f"enc {cipher}", run("enc", "-d", f"-{cipher}", "-pbkdf2", "-pass", "pass:word", data=hidden)[1] == data)
    for digest in ("sha256", "sha3-512", "blake2b512", "md5"):
        check(f"dgst {digest}", run("dgst", f"-{digest}", data=data)[1].decode().strip())
    pathlib.Path("data").write_bytes(data)
    for name in ("rsa", "ecdsa"):
        run("dgst", "-sha256", "-sign", f"{name}.key", "-out", "signature", "data")
        run("x509", "-in", f"{name}.pem", "-pubkey", "-noout", "-out", "public")
        check(f"sign {name}", run("dgst", "-sha256", "-verify", "public", "-signature", "signature", "data")[1])
        run("cms", "-sign", "-binary", "-in", "data", "-signer", f"{name}.pem", "-inkey", f"{name}.key", "-out", "signed", "-nodetach")
        check(f"cms {name}", run("cms", "-verify", "-binary", "-in", "signed", "-CAfile", f"{name}.pem", "-purpose", "any")[::2])
    run("cms", "-encrypt", "-binary", "-aes256", "-in", "data", "-out", "hidden", "rsa.pem")
    check("cms hidden", run("cms", "-decrypt", "-binary", "-in", "hidden", "-recip", "rsa.pem", "-inkey", "rsa.key")[1] == data)
    run("pkcs12", "-export", "-in", "rsa.pem", "-inkey", "rsa.key", "-passout", "pass:word", "-out", "both.p12")
    check("pkcs12", run("pkcs12", "-in", "both.p12", "-passin", "pass:word", "-nodes")[0])
    check("pkcs12 wrong", run("pkcs12", "-in", "both.p12", "-passin", "pass:other", "-nodes")[0])
    check("prime", run("prime", "618970019642690137449562111", "618970019642690137449562113")[1])
    check("verify", [run("verify", "-CAfile", "rsa.pem", f"{name}.pem")[0] for name in ("rsa", "ecdsa")])
    check("asn1parse", run("asn1parse", "-in", "ed25519.pem")[0])
    check("genpkey", run("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")[0])
    check("ciphers", run("ciphers", "-v", "-s")[1])
    check("rand", len(run("rand", "100000")[1]))
    check("unknown", run("nothing")[0])


os.chdir(os.environ["TMPDIR"])
globals()[f"test_{sys.argv[1]}"]()
