#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A file system in memory on pyfuse3: pyfuse3_server.py DIR. Small, and enough for work.py."""
import errno
import os
import stat
import sys
import time

import pyfuse3
import trio

ENOATTR = pyfuse3.ENOATTR


class Node:
    def __init__(self, ino, mode, ctx):
        now = time.time_ns()
        self.ino, self.mode, self.uid, self.gid = ino, mode, ctx.uid if ctx else 0, ctx.gid if ctx else 0
        self.atime = self.mtime = self.ctime = now
        self.nlink, self.lookups, self.rdev = 1, 0, 0
        self.data, self.names, self.target, self.xattrs = bytearray(), {}, b"", {}

    def attributes(self):
        a = pyfuse3.EntryAttributes()
        a.st_ino, a.st_mode, a.st_nlink, a.st_uid, a.st_gid, a.st_rdev = self.ino, self.mode, self.nlink, self.uid, self.gid, self.rdev
        a.st_size = len(self.target) or len(self.data)
        a.st_blksize, a.st_blocks = 4096, (a.st_size + 511) // 512
        a.st_atime_ns, a.st_mtime_ns, a.st_ctime_ns = self.atime, self.mtime, self.ctime
        a.generation, a.entry_timeout, a.attr_timeout = 0, 60, 60
        return a


def fail(number):
    raise pyfuse3.FUSEError(number)


class Memory(pyfuse3.Operations):
    enable_writeback_cache = False

    def __init__(self):
        super().__init__()
        self.nodes = {1: Node(1, stat.S_IFDIR | 0o755, None)}
        self.last = 1

    def node(self, ino):
        return self.nodes.get(ino) or fail(errno.ENOENT)

    def known(self, node):
        node.lookups += 1
        return node.attributes()

    def drop(self, node):
        if node.nlink == 0 and node.lookups <= 0:
            self.nodes.pop(node.ino, None)

    def make(self, parent, name, mode, ctx):
        names = self.node(parent).names
        if name in names:
            fail(errno.EEXIST)
        self.last += 1
        names[name] = self.last
        self.node(parent).mtime = self.node(parent).ctime = time.time_ns()
        node = self.nodes[self.last] = Node(self.last, mode, ctx)
        return node

    async def lookup(self, parent, name, ctx=None):
        return self.known(self.node(self.node(parent).names.get(name) or fail(errno.ENOENT)))

    async def forget(self, inodes):
        for ino, n in inodes:
            if ino in self.nodes:
                self.nodes[ino].lookups -= n
                self.drop(self.nodes[ino])

    async def getattr(self, ino, ctx=None):
        return self.node(ino).attributes()

    async def setattr(self, ino, attr, fields, fh, ctx):
        node = self.node(ino)
        if fields.update_size:
            del node.data[attr.st_size:]
            node.data += bytes(attr.st_size - len(node.data))
            node.mtime = time.time_ns()
        if fields.update_mode:
            node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(attr.st_mode)
        if fields.update_uid:
            node.uid = attr.st_uid
        if fields.update_gid:
            node.gid = attr.st_gid
        if fields.update_mtime:
            node.mtime = attr.st_mtime_ns
        if fields.update_atime:
            node.atime = attr.st_atime_ns
        node.ctime = time.time_ns()
        return node.attributes()

    async def mknod(self, parent, name, mode, rdev, ctx):
        node = self.make(parent, name, mode, ctx)
        node.rdev = rdev
        return self.known(node)

    async def mkdir(self, parent, name, mode, ctx):
        return self.known(self.make(parent, name, stat.S_IFDIR | stat.S_IMODE(mode), ctx))

    async def symlink(self, parent, name, target, ctx):
        node = self.make(parent, name, stat.S_IFLNK | 0o777, ctx)
        node.target = target
        return self.known(node)

    async def readlink(self, ino, ctx):
        return self.node(ino).target

    async def link(self, ino, parent, name, ctx):
        if name in self.node(parent).names:
            fail(errno.EEXIST)
        node = self.node(ino)
        self.node(parent).names[name] = ino
        node.nlink += 1
        return self.known(node)

    def remove(self, parent, name):
        node = self.node(self.node(parent).names.pop(name, None) or fail(errno.ENOENT))
        node.nlink -= 1
        node.ctime = time.time_ns()
        self.drop(node)

    async def unlink(self, parent, name, ctx):
        self.remove(parent, name)

    async def rmdir(self, parent, name, ctx):
        if self.node(self.node(parent).names.get(name) or fail(errno.ENOENT)).names:
            fail(errno.ENOTEMPTY)
        self.remove(parent, name)

    async def rename(self, parent, name, new_parent, new_name, flags, ctx):
        if flags:
            fail(errno.EINVAL)
        ino = self.node(parent).names.get(name) or fail(errno.ENOENT)
        other = self.node(new_parent).names.get(new_name)
        if other == ino:
            return
        if other:
            if self.node(other).names:
                fail(errno.ENOTEMPTY)
            self.remove(new_parent, new_name)
        del self.node(parent).names[name]
        self.node(new_parent).names[new_name] = ino

    async def open(self, ino, flags, ctx):
        return pyfuse3.FileInfo(fh=ino)

    async def create(self, parent, name, mode, flags, ctx):
        node = self.make(parent, name, stat.S_IFREG | stat.S_IMODE(mode), ctx)
        return pyfuse3.FileInfo(fh=node.ino), self.known(node)

    async def read(self, fh, offset, size):
        return bytes(self.node(fh).data[offset:offset + size])

    async def write(self, fh, offset, data):
        node = self.node(fh)
        node.data += bytes(max(0, offset - len(node.data)))
        node.data[offset:offset + len(data)] = data
        node.mtime = node.ctime = time.time_ns()
        return len(data)

    async def opendir(self, ino, ctx):
        return ino

    async def readdir(self, fh, start, token):
        # A place in the list is the inode number and the name's turn among those of the same number.
        entries = sorted(self.node(fh).names.items(), key=lambda e: (e[1], e[0]))
        for name, ino in entries:
            if ino <= start:
                continue
            node = self.node(ino)
            if not pyfuse3.readdir_reply(token, name, node.attributes(), ino):
                break
            node.lookups += 1

    async def statfs(self, ctx):
        s = pyfuse3.StatvfsData()
        s.f_bsize = s.f_frsize = 4096
        s.f_blocks, s.f_bfree, s.f_bavail = 1 << 20, 1 << 19, 1 << 19
        s.f_files, s.f_ffree, s.f_favail, s.f_namemax = len(self.nodes), 1 << 20, 1 << 20, 255
        return s

    async def setxattr(self, ino, name, value, ctx):
        self.node(ino).xattrs[name] = value

    async def getxattr(self, ino, name, ctx):
        value = self.node(ino).xattrs.get(name)
        return fail(ENOATTR) if value is None else value

    async def listxattr(self, ino, ctx):
        return list(self.node(ino).xattrs)

    async def removexattr(self, ino, name, ctx):
        if self.node(ino).xattrs.pop(name, None) is None:
            fail(ENOATTR)

    async def flush(self, fh):
        pass

    async def fsync(self, fh, datasync):
        pass

    async def access(self, ino, mode, ctx):
        return True


def main():
    options = set(pyfuse3.default_options) | {"fsname=pyfuse3", "default_permissions", "allow_other"}
    pyfuse3.init(Memory(), sys.argv[1], options)
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close(unmount=False)


if __name__ == "__main__":
    main()
