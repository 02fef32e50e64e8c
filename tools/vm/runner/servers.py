# SPDX-License-Identifier: GPL-2.0
"""The vhost-user daemons of a run: one process per share, daxfsd (ours, with a window) or the stock virtiofsd."""
import os
import subprocess
import time
from pathlib import Path

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_size(text):
    if text and text[-1].upper() in UNITS:
        return int(text[:-1]) * UNITS[text[-1].upper()]
    return int(text, 0)


class Share:
    """One device: its tag, its window, its folder on the host and the daemon that serves it."""

    def __init__(self, tag, options):
        self.tag = "" if tag == "-" else tag
        self.name = self.tag or "emptytag"
        self.window = parse_size(options.pop("window", "0"))
        self.queues = int(options.pop("queues", "1"))
        self.ring = int(options.pop("ring", "1024"))
        self.place = options.pop("folder", self.name)
        self.options = options
        self.folder = self.process = self.log = None

    def start(self, server, out, sock, daxfsd, folder=None):
        self.folder = Path(folder) if folder else Path(out) / "share" / self.place
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket = f"{sock}/{self.name}.sock"
        self.control = f"{sock}/{self.name}.ctl"
        for path in (self.socket, self.control):
            Path(path).unlink(missing_ok=True)
        self.log = Path(out) / f"{server}-{self.name}.log"
        if server == "daxfsd":
            command = [daxfsd, "--shared-dir", str(self.folder), "--socket", self.socket, "--control", self.control,
                       "--keep", "--tag", self.tag, "--window", str(self.window), "--queues", str(self.queues)]
        else:
            command = ["/usr/libexec/virtiofsd", "--shared-dir", str(self.folder), "--socket-path", self.socket,
                       "--sandbox", "none", "--cache", "auto"]
        # A guest must not make files that the run cannot remove at its end.
        command = ["setpriv", "--bounding-set", "-linux_immutable"] + command
        command += [f"--{k}" if v is None else f"--{k}={v}" for k, v in self.options.items()]
        with open(self.log, "wb") as log:
            log.write((" ".join(command) + "\n").encode())
            log.flush()
            env = {**os.environ, "RUST_LOG": os.environ.get("RUST_LOG", "info")}
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                                            start_new_session=True)

    def wait_ready(self, limit=20):
        end = time.monotonic() + limit
        while not os.path.exists(self.socket):
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"error: the daemon of share \"{self.name}\" did not start: see {self.log}\n"
                                 + self.log.read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def read_list(path):
    """Shares from a device list: TAG [KEY=VALUE]... per line."""
    shares = []
    for line in Path(path).read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            options = dict(w.split("=", 1) if "=" in w else (w, None) for w in words[1:])
            shares.append(Share(words[0], options))
    return shares


def stock():
    """The shares of the stock daemon, which has no window."""
    return [Share("nodax", {}), Share("stock", {"queues": "1"})]
