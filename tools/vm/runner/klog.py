# SPDX-License-Identifier: GPL-2.0
"""Scans the guest's console log for reports of the kernel's checkers, and QEMU's log for touched holes of the window."""
import fnmatch
import re
from pathlib import Path

BAD = re.compile(
    r"\bBUG\b|WARNING:|\bOops\b|KASAN|KFENCE|UBSAN|possible recursive locking|possible circular|circular locking"
    r"|inconsistent lock state|inconsistent \{|suspicious RCU usage|INFO: task .* blocked|rcu: INFO|rcu_\w+ detected"
    r"|held lock freed|lock held when returning|bad unlock balance|nested lock was not taken|sleeping function called"
    r"|scheduling while atomic|refcount_t:|kmemleak: \d|general protection|unable to handle|Call Trace"
    r"|list_(add|del) corruption|ODEBUG|soft lockup|hard LOCKUP|workqueue lockup|Kernel panic|rust_kernel: panicked"
    r"|DEBUG_LOCKS_WARN_ON|vm: time limit is near")
BEGIN = re.compile(r"ksft-begin (\S+)")
END = re.compile(r"ksft-end (\S+)")
# Lines of one report follow each other closely; so many clean lines end it.
GAP = 40


class Report:
    def __init__(self, test, line):
        self.test, self.lines = test, [line]

    def text(self):
        return "\n".join(self.lines)


def scan(path, allowed, module):
    """Reports in the console log that no entry of the allow list explains."""
    if not Path(path).exists():
        return []
    test, reports, quiet = "", [], GAP
    for line in Path(path).read_text(errors="replace").splitlines():
        line = line.rstrip("\r")
        if m := BEGIN.search(line):
            test, quiet = m.group(1), GAP
        elif m := END.search(line):
            test, quiet = "", GAP
        elif BAD.search(line):
            if quiet >= GAP or "cut here" in line:
                reports.append(Report(test, line))
            else:
                reports[-1].lines.append(line)
            quiet = 0
        elif quiet < GAP:
            quiet = GAP if "---[ end trace" in line else quiet + 1
            reports[-1].lines.append(line)
    return [r for r in reports if not any(a.explains(r, module) for a in allowed)]


class Allowed:
    """TEST-GLOB MODULE REGEX # REASON: a report that this test may cause with this module (rust, c or *)."""

    def __init__(self, line):
        rule, _, self.reason = line.partition(" # ")
        self.test, self.module, pattern = rule.split(None, 2)
        self.pattern = re.compile(pattern.strip())
        if not self.reason.strip():
            raise SystemExit(f"error: klog-allow: a rule without a reason: {line}")

    def explains(self, report, module):
        return (fnmatch.fnmatch(report.test, self.test) and self.module in ("*", module)
                and self.pattern.search(report.text()))


def read_allowed(path):
    if not Path(path).exists():
        return []
    lines = (l.strip() for l in Path(path).read_text().splitlines())
    return [Allowed(l) for l in lines if l and not l.startswith("#")]


def invalid_accesses(path):
    """Touches of a window part that is not mapped, as QEMU saw them."""
    if not Path(path).exists():
        return []
    return [l for l in Path(path).read_text(errors="replace").splitlines() if "Invalid read" in l or "Invalid write" in l]
