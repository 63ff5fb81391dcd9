"""The programs whose stacks are compared: a command each, for about so many seconds of CPU time."""

import conftest

import agreement

PYTHON = """
import json, re, sys, time
end = time.process_time() + {seconds}
class Shape:
    def __init__(self, side): self.side = side
    def area(self): return self.side * self.side
while time.process_time() < end:
    for i in range(300000): i * i % 7
    sum(map(lambda s: s.area(), [Shape(i) for i in range(20000)]))
    for i in range(200): json.loads(json.dumps({{'a': [1, 2, 3.5] * 50, 'b': {{'c': 'd' * 100}}}}))
    for i in range(30): re.findall('(?:a|b)+c?d*', 'abab' * 100 + 'c')
    sorted((str(i) for i in range(30000)), key=lambda s: s[::-1])
"""
SQL = ("create table t(a integer, b text); with recursive n(i) as (select 1 union all select i + 1 from n "
       "where i < {rows}) insert into t select i * 7919 % 100003, hex(i) from n; create index x on t(a, b); "
       "select count(*), sum(a), max(b), group_concat(b) from t group by a % 10; select count(*) from t where b like '%3_3%' "
       "or b glob '*3?[45]*'; update t set b = replace(upper(b), '3', 'x') where a % 3 = 0; delete from t where a % 5 = 0; vacuum;")
CPP = """
#include <algorithm>
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <vector>
int main(int argc, char** argv) {
  std::regex pattern("a(b|c)*d");
  std::map<std::string, std::vector<int>> found;
  for (int i = 0; i < argc; ++i) found[argv[i]].push_back(std::regex_match(argv[i], pattern));
  std::vector<std::string> words(argv, argv + argc);
  std::sort(words.begin(), words.end());
  for (auto& word : words) std::cout << word << '\\n';
}
"""
# Hand-written assembler of every kind: vectors, big numbers, curves.
CIPHERS = ["sha1", "sha256", "sha512", "md5", "des-ede3", "ghash", "rsa1024", "ecdsap256", "ecdhx25519", "ed25519"]
EVP = ["aes-128-gcm", "aes-256-cbc", "chacha20-poly1305", "sha3-256", "camellia-128-cbc"]


def python3(folder, seconds, by):
    return agreement.run(folder, ["/usr/bin/python3", "-c", PYTHON.format(seconds=seconds)], by)


def sqlite3(folder, seconds, by):
    return agreement.run(folder, ["/usr/bin/sqlite3", "-batch", ":memory:", SQL.format(rows=int(200000 * seconds))], by)


def gxx(folder, seconds, by):
    """The driver, the compiler proper and the assembler."""
    (folder / "in.cc").write_text(CPP)
    command = f"for i in $(seq {max(1, round(seconds / 6))}); do /usr/bin/g++ -O1 -c in.cc -o out.o; done"
    return agreement.run(folder, ["/bin/sh", "-c", command], by)


def openssl(folder, seconds, by):
    """`openssl speed` knows whole seconds: of many ciphers some a run, all of them where there is time."""
    evp = EVP[:max(1, round(seconds) - 2)]
    rounds = [["-seconds", "1", "-bytes", "1024", "-evp", cipher] for cipher in evp]
    rounds += [["-seconds", "1", "-bytes", "1024"] + CIPHERS[::1 if seconds > 10 else 6]]
    for arguments in rounds:
        counted = agreement.run(folder, ["/usr/bin/openssl", "speed"] + arguments, by)
    return counted


def redis(folder, seconds, by):
    return agreement.run_redis(folder, seconds, by)


def exceptions(folder, seconds, by):
    """Two threads that throw through up to 40 frames, and one that loads and unloads a library, all the time."""
    return agreement.run(folder, [conftest.PROGRAMS / "throws_and_loads", seconds], by, libgcc=False)


PROGRAMS = {"python3": python3, "sqlite3": sqlite3, "g++": gxx, "openssl speed": openssl, "redis": redis,
            "exceptions": exceptions}
