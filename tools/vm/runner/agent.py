# SPDX-License-Identifier: GPL-2.0
"""The host's end of the guest's control port.

The guest sends "@ID TAG COMMAND..."; the answer is "@ID", lines that begin with a space, then "ok" or "err MESSAGE".
"TAG ..." goes to the control socket of that tag's daxfsd, "host TAG SHELL-COMMAND" runs in the tag's folder,
"runner window TAG" tells address and length of a window as they were set up, "runner note TEXT" goes to the log,
"runner fresh" takes back all that tests have told the devices.
"""
import os
import socket
import subprocess
import threading
import time


class Agent(threading.Thread):
    def __init__(self, path, shares, windows, log):
        super().__init__(daemon=True)
        self.path = path
        self.shares = {s.name: s for s in shares}
        self.windows = windows
        self.log = open(log, "w", buffering=1)

    def connect(self):
        for _ in range(500):
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(self.path)
                return sock
            except OSError:
                sock.close()
                time.sleep(0.02)
        return None

    def run(self):
        sock = self.connect()
        if sock is None:
            self.log.write("no control port\n")
            return
        with sock, sock.makefile("r", errors="replace") as lines:
            try:
                for line in lines:
                    self.answer(sock, line.strip("\n\0"))
            except OSError as e:
                self.log.write(f"port closed: {e}\n")

    def answer(self, sock, line):
        ident, _, request = line.partition(" ")
        start = time.monotonic()
        try:
            body, end = self.handle(request)
        except (OSError, subprocess.SubprocessError, KeyError, ValueError) as e:
            body, end = [], f"err {type(e).__name__}: {e}"
        sock.sendall("".join(f"{l}\n" for l in [ident, *(" " + b for b in body), end]).encode())
        self.log.write(f"> {request}\n" + "".join(f"  {b}\n" for b in body[:40]) +
                       f"< {end} ({time.monotonic() - start:.3f} s)\n")

    def handle(self, request):
        first, _, rest = request.partition(" ")
        if first == "host":
            tag, _, command = rest.partition(" ")
            done = subprocess.run(["bash", "-c", command], cwd=self.share(tag).folder, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
            lines = done.stdout.decode(errors="replace").splitlines()
            return lines, "ok" if done.returncode == 0 else f"err exit {done.returncode}"
        if first == "runner":
            return self.runner(rest)
        return self.forward(self.share(first), rest)

    def share(self, tag):
        if tag not in self.shares:
            raise ValueError(f"no share \"{tag}\"; there are: {' '.join(self.shares)}")
        return self.shares[tag]

    def runner(self, request):
        command, _, rest = request.partition(" ")
        if command == "window":
            share = self.share(rest)
            _, _, address, _ = self.windows.get(rest, (None, None, 0, 0))
            return [f"address {address:#x}", f"length {share.window:#x}"], "ok"
        if command == "note":
            return [], "ok"
        if command == "fresh":
            for share in self.shares.values():
                # The stock daemon is told nothing.
                for line in ("faults clear", "delay all 0", "release-hung", "defaults") if os.path.exists(share.control) else ():
                    self.forward(share, line)
            return [], "ok"
        return [], f"err unknown request \"{command}\""

    def forward(self, share, request):
        """One request to daxfsd: its answer has the same form, without the leading spaces."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(share.control)
            sock.sendall(request.encode() + b"\n")
            body = []
            with sock.makefile("r") as lines:
                for line in lines:
                    line = line.rstrip("\n")
                    if line == "ok" or line.split(" ")[0] == "err":
                        return body, line
                    body.append(line)
        return body, "err daxfsd closed its control socket"
