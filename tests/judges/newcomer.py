"""A home network of its own with a person in it: an empty home, a shell, a camera that speaks RTSP.

The name space has a wire with this machine (192.168.1.2) and the camera (192.168.1.64) on it, so that addresses in
documents are good as they stand, and ports are nobody else's. Whoever runs this as root has a person that is not.
"""

import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

from conftest import PROGRAM, ROOT

HERE = pathlib.Path(__file__).parent
NOBODY = 65534
WIRE = ("ip link set lo up && ip link add lan0 type veth peer name lan1 && ip link set lan0 up && ip link set lan1 up"
        " && ip addr add 192.168.1.2/24 dev lan0 && ip addr add 192.168.1.64/24 dev lan1 && echo up && exec sleep infinity")

# What `cargo install` leaves behind.
CARGO = """#!/bin/sh -e
[ "$*" = "install --locked --path ." ]
grep -q '^name = "peercam"$' Cargo.toml
install -D "$JUDGE_PROGRAM" "$HOME/.cargo/bin/peercam"
"""
# No screen is needed: a second of pictures is kept for the judge.
FFPLAY = """#!/bin/bash -e
shown=$(mktemp "$HOME/shown-XXXXXX.flv")
exec timeout 30 ffmpeg -nostdin -v error -y "${@:1:$#-1}" -i "${!#}" -map 0:v -c copy -frames:v 25 -f flv "$shown"
"""
# The judge opens it, when the block has ended.
XDG_OPEN = """#!/bin/sh -e
echo "$1" > "$HOME/opened"
"""


def missing():
    """Why nobody can live here; None if somebody can."""
    own = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    done = subprocess.run(["unshare", *own, "--net", "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    return f"this system lets no network name spaces be made: {done.stderr}" if done.returncode else None


class Newcomer:
    """A person at a shell. Everything that was started ends with it."""

    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="peercam-newcomer-"))
        self.tools = pathlib.Path(tempfile.mkdtemp(prefix="peercam-tools-"))
        self.started = []
        self.is_root = os.getuid() == 0
        own = [] if self.is_root else ["--user", "--map-root-user"]
        self.network = subprocess.Popen(["unshare", *own, "--net", "sh", "-c", WIRE], stdout=subprocess.PIPE, text=True)
        self.started.append(self.network)
        assert self.network.stdout.readline() == "up\n", missing()
        self.furnish()
        self.sit_down()

    def furnish(self):
        """The checkout's parts that a person uses, and programs in place of those that need the world."""
        for name, text in (("cargo", CARGO), ("ffplay", FFPLAY), ("xdg-open", XDG_OPEN)):
            (self.tools / name).write_text(text)
            (self.tools / name).chmod(0o755)
        shutil.copy(PROGRAM, self.tools / "program")
        self.tools.chmod(0o755)
        for part in ("Cargo.toml", "include", "examples", "config"):
            target = self.home / "peercam" / part
            target.parent.mkdir(exist_ok=True)
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, target)
        if self.is_root:
            for path in (self.home, *self.home.rglob("*")):
                os.chown(path, NOBODY, NOBODY)

    def line(self, *command):
        """A command line in the network."""
        own = [] if self.is_root else ["--user", "--preserve-credentials"]
        return ["nsenter", "-t", str(self.network.pid), *own, "--net", *map(str, command)]

    def line_of_person(self, *command):
        person = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if self.is_root else []
        return self.line(*person, *command)

    def inside(self, *command, **options):
        """A program in the network, not the person's."""
        process = subprocess.Popen(self.line(*command), stdout=subprocess.PIPE, text=True, **options)
        self.started.append(process)
        return process

    def sit_down(self):
        """A shell with job control, which ends at the first line that fails."""
        self.said = open(self.tools / "said", "w+")
        ours, theirs = os.pipe()
        self.marks = os.fdopen(ours)
        path = f"{self.tools}:{self.home}/.cargo/bin:/usr/bin:/bin"
        self.shell = subprocess.Popen(
            self.line_of_person("env", "-i", f"HOME={self.home}", f"PATH={path}", "LANG=C.UTF-8", f"JUDGE_PROGRAM={self.tools}/program",
                                "bash", "--norc", "--noprofile", "-meo", "pipefail"),
            stdin=subprocess.PIPE, stdout=self.said, stderr=subprocess.STDOUT, cwd=self.home, text=True,
            pass_fds=[theirs], start_new_session=True)
        os.close(theirs)
        self.mark = theirs

    def transcript(self):
        return pathlib.Path(self.said.name).read_text(errors="replace")

    def paste(self, block, seconds=90):
        """What the shell says to a block, all lines of which succeed."""
        before = len(self.transcript())
        path = self.tools / "block.sh"
        path.write_text(block)
        self.shell.stdin.write(f". {path} </dev/null\necho >&{self.mark}\n")
        self.shell.stdin.flush()
        is_done = select.select([self.marks], [], [], seconds)[0] and self.marks.readline()
        said = self.transcript()[before:]
        assert is_done, f"this block fails:\n{block}\n--- it says:\n{said}"
        return said

    def ask(self, url, *options):
        """An answer of something in the network, as JSON; None if there is none."""
        done = subprocess.run(self.line_of_person("curl", "-fsm", "5", *options, url), capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def wait(self, what, seconds=30):
        """Waits as a person does who looks at the screen."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"not within {seconds} s; the shell says:\n{self.transcript()[-3000:]}"
            time.sleep(0.05)

    def start_camera(self, path, password):
        """A foreign camera at rtsp://192.168.1.64/, with the simulated picture; its user is admin."""
        directory = self.tools / "camera"
        directory.mkdir()
        (directory / "camera.toml").write_text(
            'listen = [{ addr = "127.0.0.1:0" }]\np2p = { enabled = false }\n'
            'channel = [{ id = 0, source = { kind = "sim", every_picture = true, gop = 25 } }]\n')
        origin = self.inside(self.tools / "program", "--config", directory / "camera.toml", stderr=subprocess.DEVNULL)
        url = origin.stdout.readline().split()[-1]
        camera = self.inside("/usr/bin/python3", HERE / "rtsp_camera.py", f"{url}/ipc.flv?action=live", "--address", "192.168.1.64",
                             "--port", "554", "--path", path, "--password", password, stdin=subprocess.PIPE)
        assert camera.stdout.readline() == "554\n", "GStreamer's server does not start: run tests/run"

    def leave(self):
        """Ends all of it, whatever a block has left running."""
        sessions = {self.shell.pid}
        self.shell.stdin.close()
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                session = int(stat.read_text().rsplit(")", 1)[1].split()[3])
                if session in sessions:
                    os.kill(int(stat.parent.name), signal.SIGKILL)
            except (OSError, ProcessLookupError):
                pass
        for process in [self.shell, *reversed(self.started)]:
            process.kill()
            process.wait()
        self.marks.close()
        self.said.close()
        shutil.rmtree(self.home)
        shutil.rmtree(self.tools)
