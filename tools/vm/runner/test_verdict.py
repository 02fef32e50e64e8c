# SPDX-License-Identifier: GPL-2.0
"""Tests of what decides over a run: python3 -m unittest discover -s tools/vm/runner."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import klog  # noqa: E402
import ktap  # noqa: E402


def counts(text, wanted=()):
    total = [0, 0, 0]
    for test in ktap.parse(text, wanted):
        total = [a + b for a, b in zip(total, test.counts())]
    return tuple(total)


def program(lines, result="ok 1 selftests: c: t"):
    return "# selftests: c: t\n" + "".join(f"# {l}\n" for l in lines) + result + "\n"


class Ktap(unittest.TestCase):
    def test_cases_are_counted(self):
        self.assertEqual(counts(program(["1..3", "ok 1 a", "ok 2 b # SKIP no", "ok 3 c # XFAIL known"])), (1, 0, 2))

    def test_a_failed_case_fails(self):
        text = program(["ok 1 a", "why", "not ok 2 b", "1..2"], "not ok 1 selftests: c: t # exit=1")
        self.assertEqual(counts(text), (1, 1, 0))
        self.assertIn("why", ktap.failure_text(ktap.parse(text, [])[0]))

    def test_who_breaks_off_fails(self):
        self.assertEqual(counts(program(["1..3", "ok 1 a"])), (1, 1, 0))
        self.assertEqual(counts(program(["ok 1 a"], "not ok 1 selftests: c: t # exit=139")), (1, 1, 0))
        self.assertEqual(counts("# selftests: c: t\n# ok 1 a\n"), (1, 1, 0))

    def test_who_never_began_fails(self):
        self.assertEqual(counts("", ["c:t"]), (0, 1, 0))

    def test_a_skipped_program_is_no_pass(self):
        self.assertEqual(counts(program(["1..0 # SKIP no window"], "ok 1 selftests: c: t # SKIP")), (0, 0, 1))
        self.assertEqual(counts(program([], "ok 1 selftests: c: t # SKIP")), (0, 0, 1))


class Klog(unittest.TestCase):
    def scan(self, text, rules=(), module="rust"):
        with tempfile.NamedTemporaryFile("w", suffix=".log") as f:
            f.write(text)
            f.flush()
            return klog.scan(f.name, [klog.Allowed(r) for r in rules], module)

    def test_reports_are_seen(self):
        for line in ("BUG: KASAN: slab-use-after-free in x", "WARNING: possible circular locking dependency detected",
                     "INFO: task a:1 blocked for more than 60 seconds.", "refcount_t: underflow", "kmemleak: 2 new suspected"):
            self.assertEqual(len(self.scan(f"[    1.0] fine\n[    2.0] {line}\n")), 1, line)
        self.assertEqual(self.scan("[    1.0] DEBUG: nothing\n[    1.1] virtio_fs virtio1: DAX window: 64 MiB\n"), [])

    def test_an_allowed_report_belongs_to_its_test_and_module(self):
        text = "ksft-begin c:t\n--[ cut here ]--\nWARNING: at f+0x1\n---[ end trace 0 ]---\nksft-end c:t\n"
        rule = "c:t c WARNING: at f # it is meant"
        self.assertEqual(self.scan(text, [rule], "c"), [])
        self.assertEqual(len(self.scan(text, [rule], "rust")), 1)
        self.assertEqual(len(self.scan(text.replace("c:t", "c:other"), [rule], "c")), 1)

    def test_a_rule_needs_a_reason(self):
        with self.assertRaises(SystemExit):
            klog.Allowed("c:t c WARNING")


if __name__ == "__main__":
    unittest.main()
