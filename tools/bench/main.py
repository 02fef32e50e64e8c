# SPDX-License-Identifier: GPL-2.0
"""The benchmark: options, the order of things, progress. Started by run."""
import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))
import report  # noqa: E402
import rows  # noqa: E402

TOP = Path(__file__).resolve().parents[2]


def options():
    p = argparse.ArgumentParser(prog="tools/bench/run", description="Measures the module against the C modules in a guest.")
    p.add_argument("--quick", action="store_true", help="a few rows, about 3 minutes; prints the table and writes it to out/bench")
    p.add_argument("--rows", nargs="+", metavar="GLOB", help="rows such as 'fit/*read*' or 'sixteenth/randread-psync'; as --quick otherwise")
    p.add_argument("--modules", default="c,rust", metavar="M,...", help="c, rust, or both (the default)")
    p.add_argument("--repeat", type=int, metavar="N", default=2, help="measure each row N times; the least disturbed counts (2)")
    p.add_argument("--spread", type=int, default=1, metavar="N", help="do that N times, and say how far the results lie apart")
    p.add_argument("--interrupts", type=int, choices=(0, 1), default=0, metavar="CPU", help="where the devices' interrupts go (0, where one job runs)")
    p.add_argument("--profile", action="store_true", help="say where instructions were spent, by function and line; needs --rows")
    p.add_argument("--render", metavar="JSON", help="make table and picture of an earlier run's results.json")
    p.add_argument("--out", metavar="DIR", help="folder for logs and results (out/bench)")
    p.add_argument("--list", action="store_true", help="names of all rows")
    return p.parse_args()


class Progress:
    """A line for each row that is complete, with what is left by the time that the ones before took."""

    def __init__(self, steps, per_row):
        self.left, self.total, self.per_row = steps, steps, per_row
        self.start = time.monotonic()
        self.open = {}

    def done(self, step):
        from guest import say
        self.left -= 1
        mine = self.open.setdefault(step.row.name, [])
        mine.append(step)
        if step.error:
            say(f"{step.row.name}, {step.module}, {step.n} operations: {step.error}")
        if len(mine) < self.per_row(step.row):
            return
        costs = {m: report.cost(mine, m) for m in rows.MODULES}
        text = ", ".join(f"{m} {c['kernel']:,.0f} instructions, {c['trips']:.3f} round trips" for m, c in costs.items() if c)
        took = time.monotonic() - self.start
        left = took / (self.total - self.left) * self.left
        say(f"{step.row.name}: {text or 'nothing'} (about {left / 60:.0f} min left)" if left >= 90 else
            f"{step.row.name}: {text or 'nothing'} (about {left:.0f} s left)")


def measure(o, out, wanted, repeat, keep=None):
    import guest
    kdir, ko = Path(os.environ["RUST_FUSE_KDIR"]), Path(os.environ["RUST_FUSE_KO"])
    modules = o.modules.split(",")
    lengths = (1, 2)
    # What is compared is measured one after the other.
    def often(row):
        # Where an operation is cheap, a disturbance weighs most.
        return repeat + (keep is not None and row.setting.name == "fit")

    steps = [guest.Step(r, m, r.n * k) for r in wanted for _ in range(often(r)) for m in modules for k in lengths]
    guest.say(f"{len(wanted)} rows, {len(steps)} measurements, about {len(steps) * 0.8 / 60 + 0.3:.0f} min; logs in {os.path.relpath(out, TOP)}")
    progress = Progress(len(steps), lambda row: often(row) * len(modules) * len(lengths))
    complete = []

    def done(step):
        progress.done(step)
        complete.append(step)
        # Should the run be cut short, what there is can be rendered.
        if keep:
            keep.write_text(json.dumps(report.results(complete)) + "\n")

    try:
        guest.run(steps, out, kdir, ko, done, o.profile, o.interrupts)
    finally:
        shutil.rmtree(out / "share", ignore_errors=True)
    return steps


def spread(steps, repeat):
    """How far the results of a row lie apart when all of it is done again."""
    lines = ["| row | module | instructions | module's part | round trips / 1000 |", "|---|---|--:|--:|--:|"]
    for name in dict.fromkeys(s.row.name for s in steps):
        for module in rows.MODULES:
            mine = [s for s in steps if s.row.name == name and s.module == module]
            groups = [mine[i:i + 2 * repeat] for i in range(0, len(mine), 2 * repeat)]
            costs = [c for g in groups if (c := report.cost(g, module))]
            if len(costs) > 1:
                cells = [(min(v), max(v)) for v in ([c[what] * k for c in costs] for what, k in (("kernel", 1), ("inside", 1), ("trips", 1000)))]
                lines.append(f"| {name} | {module} | " + " | ".join(f"{a:,.1f} to {b:,.1f}" for a, b in cells) + " |")
    return "\n".join(lines)


def main():
    o = options()
    out = Path(o.out) if o.out else TOP / "out/bench"
    out.mkdir(parents=True, exist_ok=True)
    out = out.resolve()
    if o.list:
        print("\n".join(r.name for r in rows.every()))
        return 0
    full = not (o.quick or o.rows)
    if o.render:
        results = json.loads(Path(o.render).read_text())
    else:
        start = time.monotonic()
        wanted = rows.chosen(o.rows or (rows.QUICK if o.quick else None))
        steps = measure(o, out, wanted, 1 if o.profile else o.repeat * o.spread,
                        None if o.profile or o.spread > 1 else out / "part.json")
        if o.profile:
            import spent
            spent.show(steps, Path(os.environ["RUST_FUSE_KDIR"]))
            return 0
        results = report.results(steps)
        if full:
            results["stability"] = spread(measure(o, out, rows.chosen(rows.STABLE), 4 * o.repeat), o.repeat)
        results["minutes"] = round((time.monotonic() - start) / 60)
        if o.spread > 1:
            print(spread(steps, o.repeat))
            return 0
        (out / ("results.json" if full else "quick.json")).write_text(json.dumps(results, indent=1) + "\n")
    if full:
        folder = TOP / "Documentation"
        (folder / "bench.md").write_text(report.markdown(results))
        (folder / "bench.svg").write_text(report.picture(results))
        print(report.summary(results))
        print("written: Documentation/bench.md, Documentation/bench.svg")
    else:
        text = report.tables(results)
        (out / "quick.md").write_text(text)
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
