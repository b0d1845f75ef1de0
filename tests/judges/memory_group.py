"""A control group with little memory, for a process that is started in it."""

import contextlib
import os
import pathlib
import time

import pytest

ROOTS = {
    "memory.limit_in_bytes": pathlib.Path("/sys/fs/cgroup/memory"),
    "memory.max": pathlib.Path("/sys/fs/cgroup"),
}


class Group:
    """A group of its own, made as root below the machine's."""

    def __init__(self, limit):
        for name, root in ROOTS.items():
            self.path = root / f"peercam-judge-{os.getpid()}"
            with contextlib.suppress(OSError):
                self.path.mkdir()
                (self.path / name).write_text(str(limit))
                return
            with contextlib.suppress(OSError):
                self.path.rmdir()
        pytest.skip("no memory control group can be made here: not root, or none is mounted")

    def launch(self, processor):
        """The beginning of a command line: what follows it runs in the group, on one processor."""
        join = f'echo $$ > {self.path}/cgroup.procs && exec taskset -c {processor} "$@"'
        return ["sh", "-c", join, "sh"]

    def killed(self):
        """How often the kernel has ended something in it for want of memory."""
        for name in ("memory.oom_control", "memory.events"):
            with contextlib.suppress(OSError):
                lines = (self.path / name).read_text().split("\n")
                return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        raise AssertionError("the group does not count")

    def close(self):
        for _ in range(50):
            with contextlib.suppress(OSError):
                return self.path.rmdir()
            time.sleep(0.1)
        raise AssertionError(f"{self.path} is not empty")


def anonymous(pid):
    """Memory of a process that is not a file's, in MiB."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024
