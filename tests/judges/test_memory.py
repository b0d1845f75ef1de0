"""A camera with 32 MiB, all of whose guests are hostile at once: it lives, and its honest viewers lose nothing.

The daemon has one processor, everybody else the other. In full length (PEERCAM_SOAK=1) it takes half an hour.
"""

import os
import subprocess
import sys
import threading
import time

import pytest

from attackers import __file__ as ATTACKERS
from conftest import PROGRAM, SOAK, Camera
from flv_stream import tags
from memory_group import Group, anonymous

MIB = 1 << 20
# What glibc is to be told where there is little memory: docs/security.md, "Memory".
ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072"}
CONFIG = """
[[listen]]
addr = "127.0.0.1:0"
[[listen]]
addr = "127.0.0.1:0"
access = "token"
[p2p]
port = 0
[record]
segment = "10s"
max_size = "64MiB"
[[channel]]
id = 0
source = { kind = "sim", every_picture = true, bitrate = [500000, 1000000, 2000000] }
speaker = { command = ["sh", "-c", "cat > /dev/null; sleep 0.3"] }
"""
# A round of attacks, what is waited behind it, and how often, in seconds.
ROUND, REST, ROUNDS = (840, 60, 2) if SOAK else (15, 5, 2)


class Honest(threading.Thread):
    """A viewer that reads as it comes and notes each picture that is missing."""

    def __init__(self, command, **options):
        super().__init__(daemon=True)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
        self.pictures, self.missing, self.first = 0, [], threading.Event()
        self.start()

    def run(self):
        last = None
        for kind, stamp, data in tags(self.process.stdout):
            if kind != 9 or data[1] == 0:
                continue
            # Pictures of the group that was there already come a millisecond apart.
            if last is not None and not (1 <= stamp - last <= 45):
                self.missing.append((last, stamp))
            self.pictures, last = self.pictures + 1, stamp
            self.first.set()

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.join(10)


class SmallCamera(Camera):
    """A daemon in a group with little memory, on one processor."""

    def __init__(self, directory, config, group):
        self.group = group
        super().__init__(directory, config)

    def command(self):
        return self.group.launch(0) + super().command()


@pytest.fixture
def small_camera(tmp_path, monkeypatch):
    if os.cpu_count() < 2:
        pytest.skip("two processors are needed: one is the daemon's")
    for name, value in ALLOCATOR.items():
        monkeypatch.setenv(name, value)
    group = Group(32 * MIB)
    daemon = SmallCamera(tmp_path, CONFIG, group)
    yield daemon
    try:
        daemon.stop()
    finally:
        group.close()


def pair(camera, name, *scopes):
    config = str(camera.directory / "camera.toml")
    return subprocess.run([PROGRAM, "pair", name, "--config", config, *scopes], capture_output=True, text=True,
                          check=True).stdout.split()[0]


@pytest.mark.alone
def test_a_small_camera_outlives_its_guests(small_camera):
    others = ["taskset", "-c", "1"]
    def pull(name, *scopes):
        uri = small_camera.directory / f"{name}.uri"
        uri.touch(0o600)
        uri.write_text(pair(small_camera, name, *scopes))
        return Honest([*others, PROGRAM, "pull", "--quality", "super", f"@{uri}", "--log", "error"])
    honest = [
        Honest([*others, "curl", "-sN", small_camera.live(channel=0, quality="super")]),
        pull("family"),
        pull("neighbour"),
    ]
    guests = [pair(small_camera, f"guest{number}") for number in range(2)]
    assert all(viewer.first.wait(10) for viewer in honest)
    pid = small_camera.process.pid
    base, token = small_camera.base.removeprefix("http://"), small_camera.token
    left, before = [], anonymous(pid)
    for number in range(ROUNDS):
        rows = [("heads", guests[0], token), ("talks", guests[1], token), ("challenges", "-", token),
                ("stalled", guests[0], token), ("commands", guests[1], token), ("polls", "-", base)]
        attackers = [subprocess.Popen([*others, "nice", "-n", "10", sys.executable, ATTACKERS, what, str(ROUND), uri, where],
                                      stdout=subprocess.PIPE, text=True)
                     for what, uri, where in rows]
        time.sleep(ROUND / 2)
        if number == 0:
            late = time.monotonic()
            honest.append(pull("owner", "--scope", "all"))
            assert honest[-1].first.wait(10), "the owner comes late, and gets in"
            print(f"owner's first picture after {time.monotonic() - late:.2f} s")
        reached = {what: int(attacker.communicate(timeout=ROUND + 60)[0]) for (what, *_), attacker in zip(rows, attackers)}
        assert min(reached.values()) > ROUND / 10, reached
        time.sleep(REST)
        assert small_camera.process.poll() is None, "it lives"
        left.append(anonymous(pid))
        print(f"round {number + 1}: {left[-1]:.1f} MiB anonymous ({before:.1f} before), {small_camera.group.killed()} killed; {reached}")
    for viewer in honest:
        assert viewer.process.poll() is None, "nobody was cut off"
        viewer.stop()
    print("pictures:", [viewer.pictures for viewer in honest])
    assert small_camera.group.killed() == 0
    assert [viewer.missing for viewer in honest] == [[]] * len(honest)
    assert left[-1] <= left[0] + 2, left
