# SPDX-License-Identifier: GPL-2.0
"""What the code does: reads the wire format's lists and the client's sources, and tells which of the protocol is used."""
import re
from pathlib import Path

# Options of a mount by /dev/fuse (fuse_fs_parameters of the C client). Those of virtiofs are in conn/options.rs.
FUSE_OPTIONS = ("fd", "rootmode", "user_id", "group_id", "default_permissions", "allow_other", "max_read", "blksize",
                "subtype", "source")
# Options with values that have rows of their own, and whether they have one without a value.
VALUES = {"always": "dax", "inode": "dax", "never": "dax", "server": "locks", "local": "locks", "backing": "attrs"}
WITH_VALUE_ONLY = {"locks", "attrs"}


def code(path):
    """A source without its comments: prose names many things that nobody does."""
    return re.sub(r"//[^\n]*", "", path.read_text())


def block(text, start):
    """The text between the braces that open after `start`; empty when there is no such place."""
    at = text.find(start)
    if at < 0:
        return ""
    first = text.index("{", at)
    depth = 0
    for i in range(first, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[first:i]
    raise SystemExit(f"error: the braces after \"{start}\" do not close\n  adapt tools/status/facts.py to the source")


class Facts:
    """`listed` and `used`: for each kind of thing, the set of names that exist and the set that the code uses."""

    def __init__(self, top):
        self.top = Path(top)
        self.fuse = self.top / "fs/fuse"
        self.client = {p: code(p) for p in sorted(self.fuse.rglob("*.rs")) if "proto" not in p.relative_to(self.fuse).parts}
        self.listed, self.used = {}, {}
        self.opcodes()
        self.flags()
        self.notifications()
        self.options()
        for kind, names in self.listed.items():
            if not names:
                raise SystemExit(f"error: found no names of {kind} in the sources\n  adapt tools/status/facts.py to them")

    def mentions(self, kind):
        """Names that the client's sources use as `Kind::NAME`."""
        pattern = re.compile(rf"\b{kind}::([A-Z][A-Z0-9_]*)\b")
        return {n for text in self.client.values() for n in pattern.findall(text)} & self.listed[kind]

    def opcodes(self):
        text = code(self.fuse / "proto/opcode.rs")
        self.listed["Opcode"] = set(re.findall(r"\b([A-Z][A-Z0-9_]*) = \d+,", text))
        sent = set()
        for path, text in self.client.items():
            # Other places look at opcodes of requests that came back, which sends nothing.
            places = re.findall(r"\bOPCODE: [\w:]*Opcode = ([^;]+);", text) + re.findall(r"prepare_\w+\(([^)]*)\)", text)
            if "ops" in path.relative_to(self.fuse).parts:
                places.append(text)
            for place in places:
                sent.update(re.findall(r"\bOpcode::([A-Z][A-Z0-9_]*)\b", place))
        self.used["Opcode"] = sent & self.listed["Opcode"]

    def flags(self):
        for kind, body in re.findall(r"\b(\w+Flags|SetattrValid)\(u(?:32|64)\) \{(.*?)\n    \}", code(self.fuse / "proto/flags.rs"), re.S):
            self.listed[kind] = set(re.findall(r"\b([A-Z][A-Z0-9_]*) = \d+,", body))
            self.used[kind] = self.mentions(kind)
        # A feature is the client's own when INIT offers it; what looks for it in the answer must have offered it.
        offer = block(code(self.fuse / "conn/init.rs"), "fn offer(")
        self.looked_at = self.used["InitFlags"]
        self.used["InitFlags"] = set(re.findall(r"\bInitFlags::([A-Z][A-Z0-9_]*)\b", offer))

    def notifications(self):
        text = block(code(self.fuse / "proto/header.rs"), "impl NotifyCode")
        self.listed["NotifyCode"] = set(re.findall(r"pub const ([A-Z][A-Z0-9_]*): Self = Self\(\d+\)", text))
        self.used["NotifyCode"] = self.mentions("NotifyCode")

    def options(self):
        text = code(self.fuse / "conn/options.rs") + code(self.fuse / "dev/mount.rs")
        words = set(re.findall(r'b"(\w+)"', text))
        known = {"dax"} | {f"{o}={v}" for v, o in VALUES.items()} | set(FUSE_OPTIONS)
        self.used["option"] = {f"{VALUES[w]}={w}" if w in VALUES else w for w in words - WITH_VALUE_ONLY}
        self.listed["option"] = known | self.used["option"]


def tests(top):
    """The test programs by name, as in `io.c` or `proto/codec.rs`, each with its cases."""
    found = {}
    root = Path(top) / "tools/testing"
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        if path.suffix not in (".c", ".sh", ".rs") or "target" in inside.parts or "src" in inside.parts:
            continue
        text = path.read_text()
        if path.suffix == ".c":
            cases = re.findall(r"^TEST(?:_F|_F_TIMEOUT|_SIGNAL)?\((?:\w+, )?(\w+)", text, re.M)
            # Macros of the file that make a case of their first argument.
            cases += re.findall(r"^(?!FIXTURE|TEST)[A-Z_]+\((\w+)(?:, \w+)+\)$", text, re.M)
        elif path.suffix == ".rs":
            cases = re.findall(r"#\[test\]\s*fn (\w+)\(", text)
        else:
            # check "NAME" ..., try "NAME" ..., row OPCODE ..., and lists of "OPCODE call ...".
            cases = re.findall(r'^[^#\n]*?\b(?:check|try) "([^"]+)"', text, re.M)
            cases += re.findall(r"^row ([A-Z0-9_]+) ", text, re.M) + re.findall(r'"([A-Z0-9_]+) call ', text)
        # What has no cases is no test, but something that tests share.
        if cases:
            name = path.name if path.suffix != ".rs" else "/".join(path.parts[-2:])
            found.setdefault(name, set()).update(cases)
    return found
