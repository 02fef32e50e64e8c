# SPDX-License-Identifier: GPL-2.0
"""Runs a guest with the module under test: options, the order of things, and the verdict. Started by ../run."""
import argparse
import collections
import fnmatch
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import agent  # noqa: E402
import image  # noqa: E402
import klog  # noqa: E402
import ktap  # noqa: E402
import qemu  # noqa: E402
import servers  # noqa: E402
from progress import Times, Watcher, say  # noqa: E402

TOP = Path(__file__).resolve().parents[3]
SELFTESTS = TOP / "tools/testing/selftests"


def options():
    p = argparse.ArgumentParser(prog="tools/vm/run", description="Boots a guest with the module under test.")
    p.add_argument("--kernel", choices=("debug", "release"), default=os.environ.get("KERNEL", "debug"))
    p.add_argument("--module", choices=("rust", "c"), default=os.environ.get("MODULE", "rust"))
    p.add_argument("--transport", choices=("pci", "mmio"), default=os.environ.get("TRANSPORT", "pci"))
    p.add_argument("--server", choices=("daxfsd", "virtiofsd"), default=os.environ.get("SERVER", "daxfsd"))
    what = p.add_mutually_exclusive_group()
    what.add_argument("--tests", nargs="+", metavar="GLOB", help="kselftests to run, as in virtiofs:mount* (default: all)")
    what.add_argument("--exec", metavar="COMMAND", help="run a shell command in the guest and print its output")
    what.add_argument("--demo", action="store_true", help="a short tour")
    what.add_argument("--shell", action="store_true", help="a prompt in the guest, the share mounted at /mnt")
    p.add_argument("--programs", action="store_true", help="a guest with real programs: Debian, and FUSE servers")
    p.add_argument("--no-load", action="store_true", help="leave loading the module to the command or the tests")
    p.add_argument("--gdb", action="store_true", help="QEMU listens for gdb on port 1234")
    p.add_argument("--kmemleak", action="store_true", help="scan for leaks at the end (slow boot)")
    p.add_argument("--smp", type=int, default=2, metavar="N")
    p.add_argument("--memory", metavar="SIZE", help="default: 1G, with --programs 2G")
    p.add_argument("--timeout", type=int, metavar="S", help="the guest is ended after so many seconds")
    p.add_argument("--devices", metavar="FILE", help="shares of the guest (default: devices.list, demo.list for --demo and --shell)")
    p.add_argument("--share", metavar="DIR", 
                   help="folder of the first share, with virtiofsd of \"stock\" (--shell: out/share, else one of the run's own)")
    p.add_argument("--file", action="append", default=[], metavar="SOURCE:NAME", help="put a file into the guest")
    p.add_argument("--append", default="", metavar="ARGS", help="more kernel arguments")
    p.add_argument("--out", metavar="DIR", help="folder for logs (default: out/runs/DATE-NAME)")
    p.add_argument("--keep", action="store_true", help="keep the shared folders of the run")
    o = p.parse_args()
    o.memory = o.memory or ("2G" if o.programs else "1G")
    return o


def modules(o, kdir):
    """The module files for the guest, checked against its kernel."""
    if o.module == "c":
        return [kdir / "fs/fuse/fuse.ko", kdir / "fs/fuse/virtiofs.ko"]
    ko = Path(os.environ.get("RUST_FUSE_KO") or TOP / "rust_fuse.ko")
    if not ko.exists():
        raise SystemExit(f"error: {ko.name} is not built\n  build it: make KDIR={kdir}")
    release = (kdir / "include/config/kernel.release").read_text().strip()
    magic = subprocess.run(["modinfo", "-F", "vermagic", ko], capture_output=True, text=True).stdout.split()
    if not magic or magic[0] != release:
        raise SystemExit(f"error: {ko.name} was built for {magic[0] if magic else '?'}, the {o.kernel} guest runs {release}\n"
                         f"  rebuild it: make KDIR={kdir}")
    samples = [ko.with_name("tinyfs.ko")] if os.environ.get("RUST_FUSE_SAMPLES") else []
    return [ko, *samples]


# What the stock daemon cannot show (windows, counters, faults) is not asked of it.
STOCK = ["io", "mount", "lifecycle"]


# Collections that need a guest with real programs.
PROGRAMS = ("programs", "servers")


def choose(tests, globs, programs):
    """The kselftests that match; without any glob those that this guest is for."""
    names = (tests / "kselftest-list.txt").read_text().split()
    if not globs:
        return [n for n in names if (n.split(":")[0] in PROGRAMS) == programs]
    globs = [g if ":" in g else f"*:{g}" for g in globs]
    chosen = [n for n in names if any(fnmatch.fnmatch(n, g) or fnmatch.fnmatch(n.rsplit(".", 1)[0], g) for g in globs)]
    if not chosen:
        raise SystemExit(f"error: no kselftest matches {' '.join(globs)}\n  there are: {' '.join(names)}")
    return chosen


def start_qemu(machine, command, out, shell):
    (out / "qemu.cmd").write_text(shlex.join(command) + "\n")
    with open(out / "qemu.log", "wb") as log:
        stdio = {} if shell else {"stdin": subprocess.DEVNULL, "stdout": log}
        return subprocess.Popen(command, stderr=log, **stdio)


def boot(o, out, sock, kdir, shares, script, tests):
    """Starts everything, waits for the end of the guest, stops everything. Returns the watcher with what was seen."""
    env = {"MODULE": o.module, "SERVER": o.server, "TRANSPORT": o.transport, "SMP": o.smp, "VM_LOAD": int(not o.no_load),
           "VM_PROGRAMS": int(o.programs), "VM_MODE": "shell" if o.shell else "run", "VM_KMEMLEAK": int(o.kmemleak), "VM_WATCHDOG": max(5, o.timeout - 12),
           "VM_SHELL_TAG": shares[0].name if o.server == "daxfsd" else "stock",
           "VM_SHELL_OPTIONS": "-o dax=always" if o.server == "daxfsd" and shares[0].window >= 2 << 20 else "",
           "TAGS": " ".join(s.name for s in shares)}
    cache = os.environ["RUST_FUSE_CACHE"]
    image.make(out / "initrd.cpio", TOP, cache, modules(o, kdir), env, script, tests,
               [f.rsplit(":", 1) for f in o.file])
    machine = qemu.Machine(o.transport, o.smp, o.memory, kdir / "arch/x86/boot/bzImage", out / "initrd.cpio", out, sock)
    machine.ports(o.shell)
    if o.programs:
        machine.disk(os.environ["RUST_FUSE_PROGRAMS"])
    shared = "stock" if o.server == "virtiofsd" else shares[0].name
    watcher = process = None
    try:
        for s in shares:
            s.start(o.server, out, sock, os.environ.get("RUST_FUSE_DAXFSD"), o.share if s.name == shared else None)
        for n, s in enumerate(shares):
            s.wait_ready()
            if o.server == "daxfsd":
                machine.daxfs(n, s.tag, s.socket, s.queues, s.window, s.ring)
            else:
                machine.virtiofs(n, s.tag, s.socket, s.queues)
        if machine.windows:
            source = TOP / "tools/vm/shm-mmio/shm-mmio.c"
            machine.plugin(image.compiled(cache, source, "-shared", "-fPIC", "-ldl"))
        # As Debian has it: ntfs-3g keeps the device that it mounts open for writing.
        extra = f"kmemleak={'on' if o.kmemleak else 'off'} bdev_allow_write_mounted=1 {o.append}"
        command = machine.command(qemu.tsc_khz(), o.gdb, extra)
        if o.gdb:
            say(f"gdb: tools/env/enter gdb {kdir}/vmlinux -ex 'target remote :1234'  (then: add-symbol-file "
                f"{os.environ.get('RUST_FUSE_KO') or 'the .ko'} 0xffffffffa0000000)")
        process = start_qemu(machine, command, out, o.shell)
        agent.Agent(f"{sock}/ctl.sock", shares, machine.windows, out / "control.log").start()
        watcher = Watcher(process, out, o)
        watcher.wait()
    finally:
        if process and process.poll() is None:
            process.kill()
            process.wait()
        for s in shares:
            if watcher:
                watcher.collect(s)
            s.stop()
    return watcher


def verdict(o, out, watcher, wanted):
    """Prints what failed; returns (passed, failed, skipped)."""
    counts = [0, 0, 0]

    def failure(text):
        counts[1] += 1
        print(f"FAILED: {text}")

    tests = ktap.parse(watcher.output(), wanted) if wanted else []
    if wanted:
        (out / "ktap.log").write_text(watcher.output())
    for test in tests:
        p, f, s = test.counts()
        counts[0] += p
        counts[1] += f
        counts[2] += s
        if f:
            print(f"FAILED: {test.name}\n{ktap.failure_text(test)}")
    reasons = collections.Counter(c.directive for t in tests for c in t.cases if c.skipped)
    for reason, n in reasons.items():
        say(f"{n} x {reason or 'SKIP'}")
    if watcher.timed_out and watcher.up:
        failure(f"the guest was ended after the time limit of {o.timeout} s")
    elif not watcher.up:
        failure(f"the guest does not come up:\n{watcher.tail('console.log', 25)}\n{watcher.tail('qemu.log', 5)}")
    elif watcher.exit is None:
        failure(f"the guest died; end of its log:\n{watcher.tail('console.log', 25)}\n{watcher.tail('qemu.log', 5)}")
    elif watcher.exit not in (0, None) and not (wanted and counts[1]):
        failure(f"the guest's script ended with {watcher.exit}")
    for line in watcher.complaints:
        failure(line)
    for report in klog.scan(out / "console.log", klog.read_allowed(SELFTESTS / "virtiofs/klog-allow"), o.module):
        where = f" during {report.test}" if report.test else ""
        text = report.lines if len(report.lines) <= 30 else report.lines[:30] + ["..."]
        failure(f"the kernel complained{where}:\n" + "\n".join("    " + l for l in text))
    bad = klog.invalid_accesses(out / "qemu-invalid.log")
    if bad:
        failure(f"{len(bad)} accesses to a part of the window that is not mapped:\n" + "\n".join("    " + l for l in bad[:5]))
    if not wanted and not counts[1]:
        counts[0] = 1
    return counts


def main():
    o = options()
    # A runner that is told to end takes its guest and its daemons with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kdir = Path(os.environ["RUST_FUSE_KDIR"])
    name = "shell" if o.shell else "exec" if o.exec else "demo" if o.demo else "tests"
    key = f"{name}-{o.module}-{o.kernel}-{o.transport}-{o.server}" + "-programs" * o.programs
    out = Path(o.out) if o.out else TOP / "out/runs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{key}-{os.getpid()}"
    out.mkdir(parents=True, exist_ok=True)
    out = out.resolve()
    # What an earlier run left here must not be taken for this one's.
    for old in out.iterdir():
        if old.is_file():
            old.unlink()
    shutil.rmtree(out / "share", ignore_errors=True)
    o.devices = o.devices or (TOP / "tools/vm/demo.list" if o.demo or o.shell else
                              TOP / ("tools/testing/programs" if o.programs else "tools/vm") / "devices.list")
    if o.shell and not o.share:
        o.share = TOP / "out/share"
    shares = servers.read_list(o.devices) if o.server == "daxfsd" else servers.stock()
    tests, wanted = None, []
    if o.exec is not None:
        script = o.exec + "\n"
    elif o.demo:
        script = (TOP / "tools/vm/guest/demo.sh").read_text()
    elif o.shell:
        script = ""
    else:
        tests = image.kselftests(TOP, os.environ["RUST_FUSE_CACHE"], kdir)
        wanted = choose(tests, o.tests or (STOCK if o.server == "virtiofsd" and not o.programs else None), o.programs)
        # Only one variant of io has a device there.
        variants = "export KSELFTEST_IO_ARGS='-v nodax'\n" if o.server == "virtiofsd" else ""
        # A limit for the guest is one for each test as well, in place of the one in "settings".
        limit = f"-o {o.timeout} " if o.timeout else ""
        script = variants + f"exec sh /opt/kselftest/run_kselftest.sh {limit}" + " ".join(f"-t {t}" for t in wanted) + "\n"
    default = 1 << 30 if o.shell else 120 if not wanted else 90 + 120 * len(wanted)
    o.timeout = o.timeout or default + (120 if o.kmemleak else 0)
    times = Times(TOP / "out/runs/.times.json")
    say(f"guest: {o.kernel} kernel, {o.module} module, {o.server} over {o.transport}, {o.smp} CPUs"
        + times.estimate(key + " ".join(wanted)) + f"; logs in {os.path.relpath(out, TOP) if out.is_relative_to(TOP) else out}")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vm.", dir="/tmp") as sock:
        watcher = boot(o, out, sock, kdir, shares, script, tests)
        if not watcher.up and not watcher.timed_out:
            # Seen before the first line of the log, and so before any module; see CPU in qemu.py.
            say("the guest did not come up: once more")
            (out / "guest.out").unlink(missing_ok=True)
            watcher = boot(o, out, sock, kdir, shares, script, tests)
    (out / "initrd.cpio").unlink(missing_ok=True)
    if not o.keep:
        shutil.rmtree(out / "share", ignore_errors=True)
    if o.shell:
        return 0
    passed, failed, skipped = verdict(o, out, watcher, wanted)
    took = time.monotonic() - start
    if not failed:
        times.store(key + " ".join(wanted), took)
    say(f"guest ended after {took:.0f} s")
    sys.stderr.flush()
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
