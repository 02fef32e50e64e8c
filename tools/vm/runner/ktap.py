# SPDX-License-Identifier: GPL-2.0
"""Reads what run_kselftest.sh printed: each program is a test, the lines that it prefixed with "# " are its cases."""
import re

RESULT = re.compile(r"^(ok|not ok) (\d+)\s*(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)")


class Case:
    def __init__(self, ok, name):
        name, _, directive = name.partition(" # ")
        self.name, self.directive = name.strip().lstrip("- "), directive.strip()
        upper = self.directive.upper()
        # A known difference, which the test explains, is no pass either.
        self.skipped = upper.startswith(("SKIP", "XFAIL"))
        self.ok = ok or self.skipped


class Test:
    def __init__(self, name):
        self.name, self.cases, self.plan, self.lines, self.result = name, [], None, [], None

    def counts(self):
        """(passed, failed, skipped). A test without cases counts itself; one that broke off adds a failure."""
        passed = sum(c.ok and not c.skipped for c in self.cases)
        failed = sum(not c.ok for c in self.cases)
        skipped = sum(c.ok and c.skipped for c in self.cases)
        if not self.cases and self.plan == 0:
            return (0, 0, 1)
        if not self.cases:
            good = self.result is not None and self.result.ok
            skip = good and self.result.skipped
            return (int(good and not skip), int(not good), int(skip))
        if not failed and self.trouble():
            failed = 1
        return (passed, failed, skipped)

    def trouble(self):
        if self.result is None:
            return "did not end"
        if not self.result.ok:
            return self.result.directive or "ended with an error"
        if self.plan is not None and self.cases and self.plan != len(self.cases):
            return f"planned {self.plan} cases and ran {len(self.cases)}"
        return ""


def parse(text, wanted):
    """Tests in order; those of `wanted` that never began are there too, without a result."""
    tests, current = {}, None
    for line in text.splitlines():
        line = line.rstrip("\r")
        if m := re.match(r"^# selftests: (\S+): (\S+)$", line):
            current = tests.setdefault(f"{m[1]}:{m[2]}", Test(f"{m[1]}:{m[2]}"))
        elif (m := RESULT.match(line)) and (n := re.match(r"selftests: (\S+): (\S+)(.*)", m[3])):
            test = tests.setdefault(f"{n[1]}:{n[2]}", Test(f"{n[1]}:{n[2]}"))
            test.result = Case(m[1] == "ok", "x" + n[3])
            current = None
        elif current is not None and line.startswith("# "):
            inner = line[2:]
            current.lines.append(inner)
            if m := RESULT.match(inner):
                current.cases.append(Case(m[1] == "ok", m[3]))
            elif m := PLAN.match(inner):
                current.plan = int(m[1])
    for name in wanted:
        tests.setdefault(name, Test(name))
    return list(tests.values())


def failure_text(test, context=8):
    """The cases that failed, each with the lines printed just before it."""
    out = []
    for i, line in enumerate(test.lines):
        m = RESULT.match(line)
        if m and not Case(m[1] == "ok", m[3]).ok:
            start = i
            while start > 0 and i - start < context and not RESULT.match(test.lines[start - 1]):
                start -= 1
            out += test.lines[start:i + 1]
    if test.trouble():
        tail = [] if out else test.lines[-context:]
        out += tail + [f"{test.name}: {test.trouble()}"]
    return "\n".join("    " + l for l in out)
