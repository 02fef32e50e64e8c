# SPDX-License-Identifier: GPL-2.0
"""Watches a running guest: shows its output as it comes, keeps the time limit, remembers how long such a run takes."""
import json
import re
import socket
import sys
import time
from pathlib import Path

# A guest that has not reported by then never will; kmemleak makes booting slow.
BOOT_LIMIT = 60
MARK = re.compile(r"ksft-(begin|case) (.*)$")


def say(text):
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


class Times:
    """How long runs of one kind took, for the estimate of the next."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            self.times = json.loads(self.path.read_text())
        except (OSError, ValueError):
            self.times = {}

    def estimate(self, key):
        return f", about {self.times[key]:.0f} s" if key in self.times else ""

    def store(self, key, seconds):
        self.times[key] = round(seconds)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.times, indent=1))


class Tail:
    """Whole lines that were added to a file since the last look."""

    def __init__(self, path):
        self.path, self.offset, self.rest = Path(path), 0, b""

    def lines(self):
        if not self.path.exists():
            return []
        with open(self.path, "rb") as f:
            f.seek(self.offset)
            data = f.read()
        self.offset += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [l.decode(errors="replace").rstrip("\r") for l in lines]


class Watcher:
    def __init__(self, process, out, options):
        self.process, self.out, self.options = process, out, options
        self.up = False
        self.exit, self.timed_out, self.complaints = None, False, []
        self.guest, self.console = Tail(out / "guest.out"), Tail(out / "console.log")
        self.start = time.monotonic()

    def wait(self):
        end = self.start + self.options.timeout
        while self.process.poll() is None:
            self.look()
            booted = self.up or time.monotonic() < self.start + BOOT_LIMIT * (3 if self.options.kmemleak else 1)
            if not booted or time.monotonic() > end:
                self.timed_out = booted
                self.process.kill()
                self.process.wait()
            time.sleep(0.1)
        self.look()
        for name in ("console.log", "guest.out"):
            if not (self.out / name).exists():
                (self.out / name).touch()

    def look(self):
        """Passes on what the guest printed, and notes its verdict."""
        tests = not (self.options.exec is not None or self.options.demo)
        for line in self.guest.lines():
            if line.startswith("# vm: "):
                text = line[6:]
                self.up = True
                if text.startswith("exit "):
                    self.exit = int(text[5:])
                elif text.startswith("kmemleak: "):
                    if "unreferenced object" in text:
                        self.complaints.append("kmemleak found a leak: see guest.out")
                elif text not in ("up", "shell"):
                    self.complaints.append(text)
            elif not tests:
                print(line, flush=True)
        for line in self.console.lines():
            if tests and (m := MARK.search(line)):
                indent = "" if m[1] == "begin" else "  "
                say(f"{time.monotonic() - self.start:5.0f} s  {indent}{m[2]}")

    def output(self):
        return (self.out / "guest.out").read_text(errors="replace")

    def tail(self, name, lines):
        path = self.out / name
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def collect(self, share):
        """Keeps the device's counters next to the logs. A daemon that died on its own is a failure."""
        code = share.process.poll() if share.process else None
        if code:
            self.complaints.append(f"the daemon of share \"{share.name}\" ended with {code}: see {share.log.name}")
        if self.options.server != "daxfsd" or code is not None:
            return
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(2)
                sock.connect(share.control)
                sock.sendall(b"counters\n")
                text = b""
                while not re.search(rb"^(ok|err.*)\n", text, re.M):
                    data = sock.recv(65536)
                    if not data:
                        break
                    text += data
            (self.out / f"counters-{share.name}").write_bytes(text)
        except OSError:
            pass
