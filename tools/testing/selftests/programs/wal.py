#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""wal.py make DB | write DB WHO N | check DB FILE...

The writer commits N transactions of several rows and says so, one line for each commit; the check compares what was said
with what is in the database: every commit that was told of, whole, and of one that was not told of all or nothing.
"""
import os
import sqlite3
import sys

ROWS = 5


def connect(db):
    return sqlite3.connect(db, timeout=60, isolation_level=None)


def make(db):
    c = connect(db)
    mode = c.execute("pragma journal_mode=wal").fetchone()[0]
    if mode != "wal":
        sys.exit(f"the journal mode is {mode}")
    c.execute("create table t(who text, n integer, row integer, filler blob, primary key(who, n, row))")


def write(db, who, count):
    c = connect(db)
    c.execute("pragma synchronous=normal")
    c.execute("pragma wal_autocheckpoint=20")
    for n in range(count):
        c.execute("begin immediate")
        for row in range(ROWS):
            c.execute("insert into t values(?, ?, ?, ?)", (who, n, row, os.urandom(700)))
        c.execute("commit")
        print(who, n, flush=True)


def check(db, files):
    c = connect(db)
    bad = [r[0] for r in c.execute("pragma integrity_check")]
    if bad != ["ok"]:
        print("integrity_check:", *bad[:5])
        return 1
    found = {(who, n): rows for who, n, rows in c.execute("select who, n, count(*) from t group by who, n")}
    told = [(l.split()[0], int(l.split()[1])) for f in files for l in open(f) if len(l.split()) == 2]
    lost = [t for t in told if t not in found]
    torn = [k for k, rows in found.items() if rows != ROWS]
    if lost or torn or not told:
        print(f"of {len(told)} commits lost {len(lost)} {lost[:3]}, of {len(found)} torn {len(torn)} {torn[:3]}")
        return 1
    print(f"{len(told)} commits told of, {len(found)} found")
    return 0


if __name__ == "__main__":
    what, db, *rest = sys.argv[1:]
    if what == "make":
        make(db)
    elif what == "write":
        write(db, rest[0], int(rest[1]))
    else:
        sys.exit(check(db, rest))
