# SPDX-License-Identifier: GPL-2.0
"""From measurements to results, and from results to tables, verdicts and a picture."""
import math
import os
import statistics
import textwrap
from pathlib import Path

import rows

TITLES = {s.name: s.title for s in rows.SETTINGS + [rows.REQUESTS, rows.NAMES_AND_FILES, rows.TRIPS, rows.PROCESSES]}
# Below this an operation does nothing in the kernel: what is left is the timer's interrupt.
NOTHING = 150


def cost(steps, module):
    """Cost per operation of one row: N and 2N operations compared. Disturbances only add, so the least of the repeated
    measurements counts for instructions and time; the middle one for round trips."""
    mine = [s for s in steps if s.module == module and not s.error]
    sizes = sorted({s.n for s in mine})
    if len(sizes) != 2:
        return None

    def per_op(choose, value):
        short, long = (choose([value(s) for s in mine if s.n == n]) for n in sizes)
        return (long - short) / (sizes[1] - sizes[0])

    return {"kernel": per_op(min, lambda s: s.core + s.inside), "inside": per_op(statistics.median, lambda s: s.inside),
            "user": per_op(min, lambda s: s.user), "trips": per_op(statistics.median, lambda s: s.requests.get("round_trips", 0)),
            "ns": min(s.ns for s in mine if s.n == sizes[1]) / sizes[1]}


def results(steps):
    """Everything that is shown, as it goes to results.json."""
    found = []
    for name in dict.fromkeys(s.row.name for s in steps):
        mine = [s for s in steps if s.row.name == name]
        row = {"name": name, "setting": mine[0].row.setting.name, "job": mine[0].row.job, "n": mine[0].row.n, "errors": {}}
        for module in rows.MODULES:
            row[module] = cost(mine, module)
            errors = [s.error for s in mine if s.module == module and s.error]
            if errors:
                row["errors"][module] = errors[0]
        found.append(row)
    return {"rows": found, "commit": os.environ.get("RUST_FUSE_COMMIT", "?"),
            "repeat": min(sum(1 for s in steps if (s.row.name, s.module, s.n) == key)
                          for key in {(s.row.name, s.module, s.n) for s in steps})}


def ratio(row, what):
    """Rust by C; None where there is nothing to compare."""
    c, rust = row["c"], row["rust"]
    if not c or not rust or what == "kernel" and idle(row):
        return None
    return rust[what] / c[what] if c[what] > 0 else None


def idle(row):
    return max(row[m]["kernel"] for m in rows.MODULES) < NOTHING


def number(x):
    return "–" if x is None else f"{max(x, 0):,.0f}"


def times(x):
    return "–" if x is None else f"{x:.2f}"


def table(found):
    """One setting's rows."""
    lines = ["| job | instructions C | Rust | ratio | module C | Rust | ratio | round trips / 1000: C | Rust | time, Rust / C |",
             "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for r in found:
        c, rust = r["c"] or {}, r["rust"] or {}
        trips = [f"{max(m['trips'], 0) * 1000:,.1f}" if m else "–" for m in (c, rust)]
        lines.append(f"| {r['job']} | {number(c.get('kernel'))} | {number(rust.get('kernel'))} | {times(ratio(r, 'kernel'))} "
                     f"| {number(c.get('inside'))} | {number(rust.get('inside'))} | {times(ratio(r, 'inside'))} "
                     f"| {trips[0]} | {trips[1]} | {times(ratio(r, 'ns'))} |")
    failed = [f"{r['job']} with the {'C modules' if m == 'c' else 'Rust module'}: {e}" for r in found for m, e in r["errors"].items()]
    return "\n".join(lines) + "\n" + ("\nNot measured: " + "; ".join(failed) + ".\n" if failed else "")


def tables(res):
    parts = []
    for name, title in TITLES.items():
        found = [r for r in res["rows"] if r["setting"] == name]
        if found:
            parts.append(f"### {title[0].upper()}{title[1:]}\n\n{table(found)}")
    return "\n".join(parts)


class Target:
    """One claim about some rows: how many meet it, and which do not."""

    def __init__(self, text):
        self.text, self.met, self.missed, self.unknown = text, 0, [], []

    def judge(self, row, value, limit, strictly=False):
        """The value must not be above the limit; a ratio is looked at with two digits."""
        if value is None:
            self.unknown.append(row["job"])
        elif value < limit if strictly else round(value, 2) <= limit:
            self.met += 1
        else:
            self.missed.append(f"{row['job']} {value:.2f}" if not strictly else row["job"])


def targets(res):
    by = {r["name"]: r for r in res["rows"]}
    all_rows = res["rows"]
    out = []

    def of(setting, *engines):
        return [r for r in all_rows if r["setting"] == setting and (not engines or any(f"-{e}" in r["job"] for e in engines))]

    t = Target("window larger than the set: instructions at most those of C")
    for r in of("fit"):
        t.judge(r, 0.0 if r["c"] and r["rust"] and idle(r) else ratio(r, "kernel"), 1.0)
    out.append(t)
    t = Target("window larger than the set, sequential: fewer round trips than C")
    for r in of("fit"):
        if r["job"].startswith("seq"):
            t.judge(r, r["rust"] and r["c"] and r["rust"]["trips"], r["c"] and r["c"]["trips"], strictly=True)
    out.append(t)
    for module, title in (("rust", "Rust"), ("c", "C, for comparison")):
        for what, words in (("kernel", "instructions"), ("trips", "round trips")):
            t = Target(f"window 1/16, read and write: {words} at most those without DAX ({title})")
            for r in of("sixteenth", "psync", "libaio"):
                none = by.get(f"none/{r['job']}")
                value = none and r[module] and none[module] and r[module][what] / none[module][what]
                t.judge(r, value, 1.0)
            out.append(t)
    for what, words in (("kernel", "instructions"), ("trips", "round trips")):
        t = Target(f"window 1/16, mmap: at most half of the {words} of C")
        for r in of("sixteenth", "mmap"):
            t.judge(r, ratio(r, what), 0.5)
        out.append(t)
    for setting in ("none", "requests", "names", "process"):
        t = Target(f"{TITLES[setting]}: instructions at most those of C")
        for r in of(setting):
            t.judge(r, ratio(r, "kernel"), 1.0)
        out.append(t)
    t = Target("round trips without page cache: at most 0.8 of the instructions of C")
    for r in of("trips"):
        t.judge(r, ratio(r, "kernel"), 0.8)
    out.append(t)
    return [t for t in out if t.met or t.missed]


def summary(res):
    lines = ["| target | met | missed by (ratio) |", "|---|--:|---|"]
    for t in targets(res):
        missed = ", ".join(t.missed) or "none"
        if t.unknown:
            missed += f" (not measured: {', '.join(t.unknown)})"
        lines.append(f"| {t.text} | {t.met} of {t.met + len(t.missed)} | {missed} |")
    return "\n".join(lines) + "\n"


def markdown(res):
    text = (Path(__file__).parent / "bench.md.in").read_text()
    for key, value in {"@minutes@": str(res.get("minutes", "?")), "@commit@": res["commit"], "@repeat@": str(res["repeat"]),
                       "@set@": str(rows.SET >> 20), "@targets@": summary(res).rstrip(), "@tables@": tables(res).rstrip(),
                       "@stability@": res.get("stability", "").rstrip()}.items():
        text = text.replace(key, value)
    return text


# The picture: a panel per setting, a line per job, a dot per module, on a logarithmic scale.
LEFT, WIDTH, LINE, HEAD, FOOT = 150, 330, 15, 34, 30
LOW, HIGH = 10, 100_000
COLOURS = {"c": "#7a7a7a", "rust": "#c2410c", "none": "#2563eb"}


def x_of(value):
    value = min(max(value, LOW), HIGH)
    return LEFT + WIDTH * (math.log10(value) - math.log10(LOW)) / (math.log10(HIGH) - math.log10(LOW))


def panel(found, by, title, left, top):
    out = [f'<g transform="translate({left},{top})">', f'<text x="{LEFT}" y="14" class="t">{title}</text>']
    height = len(found) * LINE
    for power in range(int(math.log10(LOW)), int(math.log10(HIGH)) + 1):
        x = x_of(10 ** power)
        out.append(f'<line x1="{x:.1f}" y1="{HEAD - 10}" x2="{x:.1f}" y2="{HEAD + height}" class="g"/>')
        out.append(f'<text x="{x:.1f}" y="{HEAD + height + 13}" class="a">{10 ** power:,}</text>')
    for i, r in enumerate(found):
        y = HEAD + i * LINE + 4
        out.append(f'<text x="{LEFT - 8}" y="{y + 3.5}" class="n">{r["job"]}</text>')
        none = by.get(f"none/{r['job']}", {}).get("rust") if r["setting"] in ("eighth", "sixteenth") else None
        if none:
            x = x_of(none["kernel"])
            out.append(f'<line x1="{x:.1f}" y1="{y - 6}" x2="{x:.1f}" y2="{y + 6}" stroke="{COLOURS["none"]}" stroke-width="2"/>')
        dots = [(m, x_of(r[m]["kernel"])) for m in rows.MODULES if r[m]]
        if len(dots) == 2:
            out.append(f'<line x1="{dots[0][1]:.1f}" y1="{y}" x2="{dots[1][1]:.1f}" y2="{y}" stroke="{COLOURS["rust"]}" opacity="0.4"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{COLOURS[m]}"/>' for m, x in dots]
    out.append("</g>")
    return out, HEAD + height + FOOT


def picture(res):
    by = {r["name"]: r for r in res["rows"]}
    body, heights = [], [46, 46]
    for i, (name, title) in enumerate(TITLES.items()):
        found = [r for r in res["rows"] if r["setting"] == name]
        if found:
            column = heights.index(min(heights))
            lines, height = panel(found, by, title, column * (LEFT + WIDTH + 30), heights[column])
            body += lines
            heights[column] += height
    width, height = 2 * (LEFT + WIDTH + 30), max(heights)
    legend = []
    for i, (key, text) in enumerate((("c", "C"), ("rust", "Rust"), ("none", "Rust without DAX (tick)"))):
        legend.append(f'<circle cx="{LEFT + 6 + 70 * i}" cy="30" r="4" fill="{COLOURS[key]}"/>'
                      f'<text x="{LEFT + 16 + 70 * i}" y="34" class="l">{text}</text>')
    return textwrap.dedent(f'''\
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
        <style>text {{ font-family: sans-serif; fill: #222 }} .t {{ font-size: 13px; font-weight: bold }} .h {{ font-size: 14px }}
        .n {{ font-size: 11px; text-anchor: end }} .a {{ font-size: 10px; text-anchor: middle; fill: #666 }} .l {{ font-size: 12px }}
        .g {{ stroke: #ddd }}</style>
        <rect width="{width}" height="{height}" fill="#fff"/>
        <text x="{LEFT}" y="16" class="h">Kernel instructions per operation (4K; fewer is better; logarithmic)</text>
        ''') + "\n".join(legend + body) + "\n</svg>\n"
