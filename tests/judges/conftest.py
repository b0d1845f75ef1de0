"""The daemon under judgement, and where its judges come from.

PEERCAM_BIN names the program. PEERCAM_SOAK=1 runs everything in full length; otherwise about a
twentieth.

Judges wait most of their time, so `tests/run` has six of them at work at once (pytest-xdist). What is marked
`long` (half a minute and more) comes first; what is marked `alone` waits until nobody else is at work, as it
judges moments or memory to a hair.
"""

import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("PEERCAM_BIN", str(ROOT / "target/release/peercam"))
SOAK = bool(os.environ.get("PEERCAM_SOAK"))


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes half a minute or more")
    config.addinivalue_line("markers", "alone: runs when no other judge does")


def is_marked(item, name):
    return item.get_closest_marker(name) is not None


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: is_marked(item, "alone") - is_marked(item, "long"))


@pytest.fixture(autouse=True)
def company(request, tmp_path_factory):
    """Many at once, or one alone."""
    is_alone = is_marked(request.node, "alone")
    with open(tmp_path_factory.getbasetemp().parent / "company", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        yield


def scaled(seconds):
    """A twentieth of a length in seconds, at least three, unless this is the soak."""
    return seconds if SOAK else max(3, seconds / 20)


def opened(url):
    """An answer; one that refuses says why."""
    try:
        return urllib.request.urlopen(url, timeout=20)
    except urllib.error.HTTPError as refused:
        refused.msg += ": " + refused.fp.peek().decode(errors="replace")
        raise


class Camera:
    """A running daemon."""

    # Whether what a test does to it is meant to.
    may_panic = False

    def __init__(self, directory, config):
        self.directory = directory
        path = directory / "camera.toml"
        # Daemons run side by side, and most tests are not about P2P.
        path.write_text(config if "[p2p]" in config else config + "\n[p2p]\nenabled = false\n")
        self.log = open(directory / "log", "w+")
        self.start()

    def command(self):
        """What is run."""
        return [PROGRAM, "--config", str(self.directory / "camera.toml")]

    def start(self):
        """Starts it, also again after it was killed."""
        directory = self.directory
        self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        found = re.fullmatch(r"peercam is listening on (http://\S+)\n", line)
        assert found, f"{line!r}; {(directory / 'log').read_text()}"
        self.base = found[1]
        endpoint = json.loads((directory / "peercam-data/endpoint.json").read_text())
        self.token = next(iter(endpoint["lan"]), None)

    def live(self, **parameters):
        query = "&".join(f"{key}={value}" for key, value in parameters.items())
        return f"{self.base}/ipc.flv?action=live&{query}"

    def record(self, seconds, **parameters):
        """The bytes of a live stream, for this long from its first byte."""
        with opened(self.live(**parameters)) as answer:
            assert answer.headers["Content-Type"] == "video/x-flv"
            data = bytearray(answer.read1(1 << 16))
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                data += answer.read1(1 << 16)
        return bytes(data)

    def metric(self, name):
        with urllib.request.urlopen(f"{self.base}/metrics", timeout=20) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0
        self.log.seek(0)
        assert self.may_panic or "panicked" not in self.log.read()


@pytest.fixture
def camera(tmp_path):
    """Starts daemons: camera('…toml…') or camera(source='{ kind = "sim" }')."""
    started = []

    def start(text="", source='{ kind = "sim", every_picture = true }', origins=(), listen=""):
        directory = tmp_path / f"d{len(started)}"
        directory.mkdir()
        started.append(Camera(directory, f"""
[[listen]]
addr = "127.0.0.1:0"
allow_origins = {json.dumps(list(origins))}
{listen}
[[channel]]
id = 0
name = "front"
source = {source}
{text}
"""))
        return started[-1]

    yield start
    for daemon in started:
        daemon.stop()


def tool(*arguments, data=None):
    """Runs a program that must succeed and say nothing on stderr; gives its output.

    It gives way to what others have running in real time."""
    assert shutil.which(arguments[0]), f"{arguments[0]} is not installed: run tests/run"
    done = subprocess.run(["nice", "-n", "10", *arguments], input=data, capture_output=True, timeout=600)
    message = done.stderr.decode(errors="replace")
    assert done.returncode == 0 and not message, f"{' '.join(arguments)}: {message[:2000]}"
    return done.stdout
