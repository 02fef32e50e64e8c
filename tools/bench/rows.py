# SPDX-License-Identifier: GPL-2.0
"""What is measured: the 24 fio jobs of the DAX series in four settings, requests of other sizes and depths, names, and round
trips without page cache.

Each row runs with N and with 2N operations; a row's cost per operation is the difference by N, so that starting the
program, opening files and the like fall out.
"""
import fnmatch
from dataclasses import dataclass

MODULES = ("c", "rust")
BLOCK = 4096
SET = 64 << 20
# The files of the set: one, and one for each of four jobs.
FILES = {"single": SET, **{f"job{n}": SET // 4 for n in range(4)}}


@dataclass(frozen=True)
class Setting:
    name: str
    title: str
    tag: str
    options: str
    # N of sequential and of random rows: small where an operation costs round trips, and where nearly all are hits such
    # that 2N is the whole set.
    seq: int
    rand: int


SETTINGS = [
    Setting("fit", "window larger than the set", "fit", "dax=always", 8192, 8192),
    Setting("eighth", "window 1/8 of the set", "eighth", "dax=always", 4096, 512),
    Setting("sixteenth", "window 1/16 of the set", "sixteenth", "dax=always", 4096, 512),
    Setting("none", "no DAX", "fit", "dax=never", 4096, 2048),
]
TRIPS = Setting("trips", "round trips without page cache", "direct", "dax=never", 2000, 2000)
# Each operation is a whole request or more; of a mebibyte each, 2N are the whole set.
LARGE = 1 << 20
REQUESTS = Setting("requests", "requests: direct, and of 1 MiB", "fit", "dax=never", SET // LARGE // 2, 1024)
NAMES_AND_FILES = Setting("names", "names and files", "fit", "dax=never", 1000, 1000)
NAMES_KINDS = ("open", "create", "mkdir", "rename", "symlink", "list", "xattr")
NAMES = 2 * TRIPS.rand
# The libfuse examples on a memory file system: each answer is copied, or the kernel goes to the file itself (hp).
# A file is read or written again where N is more than the whole of it.
PROCESSES = Setting("process", "servers that are processes: passthrough_ll and passthrough_hp of libfuse", "", "", 4 * SET // LARGE, 1024)
PROCESS_SERVERS = ("ll", "hp")
PROCESS_KINDS = ("create", "stat", "unlink")
# Names in the folder that is listed.
LISTED = 100

QUICK = ["fit/seqread-psync", "fit/randread-psync", "fit/randwrite-psync", "fit/randread-mmap", "sixteenth/seqread-psync",
         "sixteenth/randread-psync", "sixteenth/randwrite-psync", "sixteenth/randread-mmap", "none/randread-psync",
         "none/randwrite-psync", "requests/*4k-1", "names/create", "trips/*"]

# Measured four times by a full run, to say how far the results lie apart.
STABLE = ["fit/randread-psync", "sixteenth/randread-psync", "none/randread-psync", "trips/read"]


@dataclass(frozen=True)
class Row:
    setting: Setting
    pattern: str
    kind: str
    engine: str
    jobs: int
    size: int = BLOCK
    direct: bool = False
    server: str = ""

    @property
    def depth(self):
        return 16 if self.engine == "libaio" else 1

    @property
    def job(self):
        if self.server:
            return f"{self.server}-{self.kind}" + ("" if self.engine == "ops" else f"-{'1m' if self.size == LARGE else '4k'}-{self.depth}")
        if self.engine == "ops":
            return self.kind
        if self.setting is REQUESTS:
            return f"{'direct' if self.direct else 'cached'}-{self.kind}-{'1m' if self.size == LARGE else '4k'}-{self.depth}"
        return f"{self.pattern}{self.kind}-{self.engine}" + ("-4" if self.jobs > 1 else "")

    @property
    def name(self):
        return f"{self.setting.name}/{self.job}"

    @property
    def tag(self):
        if self.server:
            return f"passthrough_{self.server}"
        # Names and attributes are believed for a while there, so that only what was never asked for is a round trip.
        return "fit" if self.kind == "stat" else self.setting.tag

    @property
    def n(self):
        # A call that asks no server is so cheap that what the rest of the guest does meanwhile would show.
        if self.server == "hp" and self.size == BLOCK and self.engine != "ops":
            return 8 * self.setting.rand
        # What fio's start costs differs by millions of instructions from run to run: 2,000 an operation, were it for 1024 of them.
        if self.engine != "ops" and self.size == BLOCK and (self.server or self.setting is REQUESTS):
            return 4 * self.setting.rand
        # As many as there are names: the timer's interrupts are 1 % of a run, and the difference of two makes that 2 %.
        if self.server and self.engine == "ops":
            return 2 * self.setting.rand
        # All but 300 of the 119,000 instructions are the memory file system's, whoever asks it; the timer's interrupts are 1 % of
        # a short run, more on a busy host.
        if self.server == "hp" and self.kind == "read" and self.size == LARGE:
            return 4 * self.setting.seq
        # Past the page cache a file may be read or written again.
        if self.setting is REQUESTS and self.direct and self.size == LARGE:
            return 4 * SET // LARGE
        # Faults that find the window full are the dearest of all; where several share it, each run is another.
        dear = self.engine == "mmap" and self.jobs == 1 and self.setting.name in ("eighth", "sixteenth")
        return self.setting.seq if self.pattern == "seq" else self.setting.rand // (2 if dear else 1)

    def command(self, n):
        return f"ops {self.kind} {n}" if self.engine == "ops" else f"fio {' '.join(FIO)} /bench/jobs/{self.job}.{n}"

    def fio(self, n):
        """The job file for n operations. Only what is measured is kept of fio's own work: no clocks, no statistics."""
        lines = ["[global]", f"rw={'' if self.pattern == 'seq' else 'rand'}{self.kind}", f"ioengine={self.engine}",
                 f"iodepth={self.depth}", f"direct={int(self.direct)}", f"bs={self.size}", f"io_size={n // self.jobs * self.size}", "fallocate=none", "invalidate=0", "randrepeat=1", "gtod_reduce=1",
                 "disk_util=0", "clocksource=clock_gettime", "group_reporting=1", f"cpus_allowed={'0' if self.jobs == 1 else '0-1'}",
                 "cpus_allowed_policy=" + ("shared" if self.jobs == 1 else "split")]
        names = ["single"] if self.jobs == 1 else [f"job{j}" for j in range(self.jobs)]
        for name in names:
            lines += [f"[{name}]", f"filename=/mnt/{name}", f"size={FILES[name]}"]
        return "\n".join(lines) + "\n"


FIO = ["--minimal", "--eta=never", "--output=/tmp/fio"]


def every():
    for s in SETTINGS:
        for engine in ("psync", "libaio", "mmap"):
            for pattern in ("seq", "rand"):
                for kind in ("read", "write"):
                    for jobs in (1, 4):
                        yield Row(s, pattern, kind, engine, jobs)
    for size, pattern, cached in ((BLOCK, "rand", ()), (LARGE, "seq", (False,))):
        for direct in (*cached, True):
            for kind in ("read", "write"):
                for engine in ("psync", "libaio"):
                    yield Row(REQUESTS, pattern, kind, engine, 1, size, direct)
    for server in PROCESS_SERVERS:
        for size, pattern in ((BLOCK, "rand"), (LARGE, "seq")):
            for kind in ("read", "write"):
                for engine in ("psync", "libaio"):
                    yield Row(PROCESSES, pattern, kind, engine, 1, size, True, server)
        for kind in PROCESS_KINDS:
            yield Row(PROCESSES, "rand", kind, "ops", 1, server=server)
    for kind in NAMES_KINDS:
        yield Row(NAMES_AND_FILES, "rand", kind, "ops", 1)
    for kind in ("read", "write", "stat"):
        yield Row(TRIPS, "rand", kind, "ops", 1)


def chosen(globs):
    rows = [r for r in every() if not globs or any(fnmatch.fnmatch(r.name, g) for g in globs)]
    if not rows:
        raise SystemExit("error: no such row\n  there are: " + " ".join(r.name for r in every()))
    return rows
