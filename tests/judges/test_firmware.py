"""The C header: built without a warning and with sanitizers, and the example as a camera."""

import random
import subprocess
import time
import urllib.request

import pytest

from conftest import PROGRAM, ROOT, SOAK, tool
import flv
import timecode
from test_rtsp import Watcher, decodes

FLAGS = ["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow",
         "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-I", str(ROOT / "include")]
SOCKET = '{ kind = "socket", path = "camera.sock" }'


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    path = tmp_path_factory.mktemp("c") / "stream"
    tool("gcc", *FLAGS, "-o", str(path), str(ROOT / "examples/c/stream.c"), "-pthread", "-lm")
    return path


@pytest.fixture
def clip(camera, tmp_path):
    """The simulated camera's picture and sound, as an encoder puts them out."""
    recorded = flv.whole(camera(source='{ kind = "sim", every_picture = true, gop = 25 }').record(8, quality="standard"))
    for name, codec in (("v.h264", "0:v"), ("a.aac", "0:a")):
        tool("ffmpeg", "-v", "error", "-f", "flv", "-i", "-", "-map", codec, "-c", "copy", str(tmp_path / name),
             data=recorded)
    return tmp_path / "v.h264", tmp_path / "a.aac"


@pytest.fixture
def firmware(example, clip):
    started = []

    def start(daemon):
        log = open(daemon.directory / f"firmware{len(started)}", "w+")
        process = subprocess.Popen([example, daemon.directory / "camera.sock", *clip], stdout=log, stderr=log)
        started.append((process, log))
        return process

    yield start
    for process, log in started:
        if process.poll() is None:
            process.terminate()
        # A sanitizer that found something ends it with another code.
        assert process.wait(10) in (0, -9), (log.seek(0), log.read())


@pytest.mark.parametrize("standard", ["c++11", "c++20"])
@pytest.mark.parametrize("source", ["include/peercam.h", "examples/c/stream.c"])
def test_firmware_in_cpp_takes_the_header_too(source, standard):
    """What it declares, and what is behind PEERCAM_IMPLEMENTATION, which the example asks for."""
    tool("g++", f"-std={standard}", "-x", "c++", *FLAGS[1:], "-c", "-o", "/dev/null", str(ROOT / source))


def post(daemon, target, body=b""):
    request = urllib.request.Request(daemon.base + target, data=body, method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()


def waited(daemon, word):
    """Waits until the example has said something."""
    deadline = time.monotonic() + 20
    while word not in (said := (daemon.directory / "firmware0").read_text()):
        assert time.monotonic() < deadline, f"{word!r} in {said}"
        time.sleep(0.02)


def test_the_example_is_a_camera(camera, firmware, clip):
    daemon = camera(source=SOCKET)
    firmware(daemon)
    waited(daemon, "connected")
    stream = daemon.record(4)
    decodes(stream)
    numbers = [number for number, _ in timecode.pictures(flv.whole(stream))]
    steps = [after - before for before, after in zip(numbers, numbers[1:])]
    assert len(numbers) > 75 and all(step == 1 or step < -100 for step in steps), "nothing but the loop's seam"
    assert any(tag.is_audio and not tag.is_header for tag in flv.tags(stream))
    assert '"status":"0"' in post(daemon, "/command?action=user_define&channel=0&cmd=ptz_left")
    waited(daemon, "turn -1 0 5: -5 0")
    waited(daemon, "turn 0 0 0: -5 0")
    assert post(daemon, "/command?action=user_define&channel=0&cmd=light_on") == '{"channel":0,"letters":8}'
    waited(daemon, "a command by anybody, who is an admin")
    spoken = post(daemon, "/voice?channel=0&recorded=1", clip[1].read_bytes())
    assert '"status":"0"' in spoken, spoken
    waited(daemon, "talk, PCM, 16000 Hz")
    waited(daemon, "talk is over")
    levels = [float(line.split()[-1]) for line in (daemon.directory / "firmware0").read_text().splitlines()
              if " level " in line]
    assert max(levels) > 1000, "the beep is heard"


def online(daemon):
    """Waits until channel 0 delivers."""
    deadline = time.monotonic() + 20
    while "firmware" in (said := post(daemon, "/command?action=inner_define&cmd=get_device_st&type=live&quality=high")):
        assert time.monotonic() < deadline, said
        time.sleep(0.02)


@pytest.mark.long
def test_either_side_may_be_killed_again_and_again(camera, firmware):
    """The recorder and a viewer see clean streams in between."""
    text = '[[channel]]\nid = 1\nsource = { kind = "sim", every_picture = true, gop = 25 }\n[record]\nquality = "standard"\npath = "rec"\nmax_size = "64MiB"\n'
    daemon = camera(text=text, source=SOCKET)
    dice = random.Random(1)
    kills = 500 if SOAK else 25
    process = firmware(daemon)
    online(daemon)
    watcher, other = Watcher(daemon.live(channel=0)).began(), Watcher(daemon.live(channel=1)).began()
    for _ in range(kills):
        time.sleep(dice.random() * 0.5)  # a kill at any moment; nothing is ordered by it
        process.kill()
        process.wait()
        process = firmware(daemon)
        online(daemon)
    time.sleep(1)
    decodes(watcher.stop())
    numbers = [number for number, _ in timecode.pictures(flv.whole(other.stop()))]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "the other channel lost a picture"
    for _ in range(kills):
        time.sleep(dice.random() * 0.5)
        daemon.process.kill()
        daemon.process.wait()
        daemon.start()
        online(daemon)
        decodes(daemon.record(0.5))
    assert process.poll() is None, "the firmware outlives every daemon"
    checked = subprocess.run([PROGRAM, "record", "check", str(daemon.directory / "peercam-data/rec")], capture_output=True, text=True,
                             timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
