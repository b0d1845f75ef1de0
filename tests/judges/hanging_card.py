"""A card that can be read only and stops to answer when it is told to: a file system in user space, by the kernel's own
protocol, so that no library is needed. For root, where there is /dev/fuse."""

import ctypes
import errno
import os
import stat
import struct
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
FORGET, BATCH_FORGET, INTERRUPT = 2, 42, 36
DIRECT = 1  # each read is asked for


class Card:
    """`files`: paths and their bytes."""

    def __init__(self, path, files):
        self.path, self.lock, self.hangs, self.owed = path, threading.Lock(), False, []
        self.nodes = [{}]  # directories are tables of names, files are bytes
        for name, content in files.items():
            *above, last = name.split("/")
            at = 0
            for part in above:
                at = self.nodes[at].setdefault(part, self.add({}))
            self.nodes[at][last] = self.add(content)
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0".encode()
        path.mkdir()
        if LIBC.mount(b"card", bytes(path), b"fuse", 0, options):
            raise OSError(ctypes.get_errno(), "mount")
        threading.Thread(target=self.serve, daemon=True).start()

    def add(self, node):
        self.nodes.append(node)
        return len(self.nodes) - 1

    def hang(self):
        with self.lock:
            self.hangs = True

    def answer(self):
        with self.lock:
            self.hangs = False
            for reply in self.owed:
                os.write(self.fd, reply)
            self.owed = []

    def close(self):
        self.answer()
        LIBC.umount2(bytes(self.path), 2)
        os.close(self.fd)

    def serve(self):
        while True:
            try:
                request = os.read(self.fd, 1 << 18)
            except OSError:
                return
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            done = self.perform(opcode, node - 1, request[40:])
            error, data = (-done, b"") if isinstance(done, int) else (0, done)
            reply = struct.pack("<IiQ", 16 + len(data), error, unique) + data
            with self.lock:
                if self.hangs:
                    self.owed.append(reply)
                else:
                    os.write(self.fd, reply)

    def attributes(self, node):
        content = self.nodes[node]
        is_file = isinstance(content, bytes)
        size, mode = (len(content), stat.S_IFREG | 0o644) if is_file else (0, stat.S_IFDIR | 0o755)
        return struct.pack("<6Q10I", node + 1, size, (size + 511) // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def perform(self, opcode, node, body):
        if opcode == 26:  # init
            return struct.pack("<4I2H2I2H8I", 7, 31, 1 << 17, 0, 16, 12, 1 << 17, 1, 0, 0, *[0] * 8)
        if opcode == 1:  # lookup
            found = self.nodes[node].get(body.rstrip(b"\0").decode())
            if found is None:
                return errno.ENOENT
            return struct.pack("<4Q2I", found + 1, 0, 0, 0, 0, 0) + self.attributes(found)
        if opcode == 3:  # getattr
            return struct.pack("<Q2I", 0, 0, 0) + self.attributes(node)
        if opcode in (14, 27):  # open, opendir
            return struct.pack("<Q2I", 0, DIRECT if opcode == 14 else 0, 0)
        if opcode == 15:  # read
            offset, size = struct.unpack_from("<QI", body, 8)
            return self.nodes[node][offset:offset + size]
        if opcode == 28:  # readdir
            offset, size = struct.unpack_from("<QI", body, 8)
            listed = b""
            for number, (name, at) in enumerate(self.nodes[node].items(), 1):
                entry = struct.pack("<QQII", at + 1, number, len(name), 0) + name.encode()
                entry += bytes(-len(entry) % 8)
                if number > offset and len(listed) + len(entry) <= size:
                    listed += entry
            return listed
        if opcode in (18, 25, 29, 34):  # release, flush, releasedir, access
            return b""
        if opcode == 17:  # statfs
            return struct.pack("<5Q10I", 1 << 20, 1 << 19, 1 << 19, 0, 0, 4096, 255, 4096, *[0] * 7)
        return errno.EROFS if opcode in (8, 9, 35) else errno.ENOSYS
