"""Recorded files, judged by what people open them with: length, seeking, and what is between two of them."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request

import numpy
import pytest

from conftest import Camera, tool
import timecode

HERE = pathlib.Path(__file__).parent
MODULES = os.environ.get("PEERCAM_NODE_MODULES", str(HERE / "node_modules"))
STEP = 0.04
CONFIG = """
[[listen]]
addr = "127.0.0.1:0"
[[channel]]
id = 0
source = { kind = "sim", every_picture = true, gop = 25, bitrate = [2000000, 2000000, 2000000] }
[[channel]]
id = 1
source = { kind = "file", path = "%s" }
[record]
segment = "8s"
quality = "standard"
"""


def make_hevc(path):
    """H.265 whose pictures are decoded in another order than they are shown, long enough to be recorded without its seam."""
    tool("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=16000",
         "-t", "30", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=25:bframes=2:b-adapt=0",
         "-pix_fmt", "yuv420p", "-c:a", "aac", path)


class Film:
    """A whole file of a channel."""

    def __init__(self, path):
        self.path, self.name = path, str(path)
        start, self.millis, *_ = map(int, re.findall(r"\d+", path.name))
        self.start, self.seconds = start / 1000, self.millis / 1000
        self.bytes = path.read_bytes()

    def number_at(self, shown, seconds):
        """The number of the picture that stands there; it may be the next one."""
        index = int(seconds / STEP)
        return [shown[index], shown[index + 1]]


def films(daemon, channel):
    found = daemon.directory.glob(f"peercam-data/recordings/ch{channel}/*/*.mp4")
    return [Film(path) for path in sorted(found) if ".open" not in path.name]


def packets(*source, data=None):
    """[stream, shown at, decoded at, lasts, hash] of what ffprobe finds."""
    probe = json.loads(tool("ffprobe", "-v", "error", *source, "-show_data_hash", "md5", "-of", "json", "-show_entries",
                            "packet=codec_type,pts_time,dts_time,duration_time,data_hash", data=data))
    return probe["packets"]


def sounds(*source, data=None):
    return [packet["data_hash"] for packet in packets(*source, "-select_streams", "a", data=data)]


def agree(some, others, least):
    """Whether one is the other where they overlap, by at least so many."""
    def overlap(by):
        first = max(0, by)
        last = min(len(others), by + len(some))
        return last - first >= least and others[first:last] == some[first - by:last - by]
    return any(overlap(by) for by in range(least - len(some), len(others) - least + 1))


def check_joins(parts, folder):
    """ffmpeg puts files one behind the other: pictures and sound go on, each at its own pace."""
    listing = folder / "list"
    listing.write_text("".join(f"file '{part.path}'\n" for part in parts))
    found = packets("-f", "concat", "-safe", "0", "-i", str(listing))
    for kind, time_of in (("video", "dts_time"), ("audio", "pts_time")):
        own = [packet for packet in found if packet["codec_type"] == kind]
        times = numpy.array([float(packet[time_of]) for packet in own])
        lasts = numpy.array([float(packet["duration_time"]) for packet in own])
        gaps = times[1:] - times[:-1] - lasts[:-1]
        assert numpy.abs(gaps).max() <= 0.005, f"{kind} stands still or goes back by {gaps[numpy.abs(gaps).argmax()]:.3f} s"
        assert len(own) == sum(sum(packet["codec_type"] == kind for packet in packets(part.name)) for part in parts)


def shown_by_ffmpeg(image):
    raw = tool("ffmpeg", "-v", "error", "-i", str(image), "-vf", "crop=640:16:0:0", "-pix_fmt", "gray", "-f", "rawvideo", "-")
    return timecode.read_row(numpy.frombuffer(raw, numpy.uint8).reshape(16, 640), 0)


def mpv(film, seconds, folder):
    """The number of the picture that mpv shows there."""
    out = folder / f"mpv{seconds}"
    tool("mpv", "--no-config", "--really-quiet", "--no-audio", f"--start={seconds}", "--frames=1", "--vo=image", "--vo-image-format=png",
         f"--vo-image-outdir={out}", film.name)
    return shown_by_ffmpeg(*out.iterdir())


class Vlc:
    """VLC on its remote control. Root may not run it."""

    def __init__(self, film, folder):
        self.scene, self.lines = folder / "scene.png", []
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            [*user, "cvlc", "-I", "rc", "--rc-fake-tty", "--no-color", "--aout", "dummy", "--vout", "dummy", "--video-filter", "scene",
             "--scene-format", "png", "--scene-replace", "--scene-ratio", "5", "--scene-prefix", "scene", "--scene-path", str(folder), film.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | {"HOME": str(folder)})
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def ask(self, text):
        """The number that it answers, once it does."""
        before = len(self.lines)
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            numbers = [found for line in self.lines[before:] if (found := re.fullmatch(r"[> ]*(\d+)\s*", line))]
            if numbers:
                return int(numbers[0][1])
            time.sleep(0.02)
        return None

    def wait_for(self, text, fits):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            found = self.ask(text)
            if found is not None and fits(found):
                return found
            time.sleep(0.1)
        raise AssertionError(f"VLC: {text}: {self.lines[-3:]}")

    def tell(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def close(self):
        self.tell("quit")
        self.process.communicate(timeout=10)


def check_vlc(film, shown, folder):
    vlc = Vlc(film, folder)
    try:
        length = vlc.wait_for("get_length", lambda seconds: seconds > 0)
        assert abs(length - film.seconds) <= 1
        vlc.tell("pause")
        vlc.tell("seek 6")
        vlc.wait_for("get_time", lambda seconds: seconds == 6)
        vlc.scene.unlink(missing_ok=True)
        vlc.tell("pause")
        vlc.wait_for("get_time", lambda seconds: seconds >= 7)
    finally:
        vlc.close()
    number = shown_by_ffmpeg(vlc.scene)
    assert shown[0] + 5.5 / STEP <= number <= shown[-1], "what it shows is what was sought"


def javascript(what, film, *seconds):
    done = subprocess.run(["node", str(HERE / "files.mjs"), what, film.name, *map(str, seconds)],
                          capture_output=True, text=True, timeout=60, env=os.environ | {"NODE_PATH": MODULES})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_lengths(film):
    """Who looks at the head only knows how long it is."""
    assert float(tool("exiftool", "-n", "-s3", "-Duration", film.name)) == pytest.approx(film.seconds, abs=0.001)
    found = [packet["codec_type"] for packet in packets(film.name)]
    told = javascript("boxes", film)
    assert (told["seconds"], told["all_seconds"]) == (film.seconds, film.seconds)
    assert told["samples"] == [found.count("video"), found.count("audio")]


@pytest.fixture
def folder():
    """A directory that VLC may read and write, as nobody."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        yield pathlib.Path(directory)


@pytest.mark.long
def test_players_know_the_length_of_a_film_seek_in_it_and_go_on_into_the_next_one(tmp_path, folder):
    assert all(map(shutil.which, ["cvlc", "mpv", "exiftool", "chromium", "node"])), "run tests/run"
    make_hevc(str(tmp_path / "hevc.mp4"))
    daemon = Camera(tmp_path, CONFIG % (tmp_path / "hevc.mp4"))
    try:
        live = daemon.record(17.5, quality="standard")
        end = time.monotonic() + 30
        while any(len(films(daemon, channel)) < 2 for channel in (0, 1)):
            assert time.monotonic() < end, "it does not record"
            time.sleep(0.1)
        own, hevc = (films(daemon, channel) for channel in (0, 1))
        start = int(own[0].start)
        url = f"{daemon.base}/ipc.flv?action=playback&channel=0&start_time={start + 6}&end_time={start + 11}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            played = answer.read()
    finally:
        daemon.stop()

    written = [sound for film in own for sound in sounds(film.name)]
    for what, data, least in (("live", live, 150), ("playback", played, 60)):
        assert agree(sounds("-f", "flv", "-i", "-", data=data), written, least), f"sound of {what} is not that of the files"
    check_joins(own, tmp_path)
    check_joins(hevc, tmp_path)

    film = own[0]
    shown = [number for number, _ in timecode.pictures(film.bytes, "mp4")]
    assert shown == list(range(shown[0], shown[0] + len(shown)))
    check_lengths(film)
    check_lengths(hevc[0])
    for seconds in (5.02, 1.5):
        assert mpv(film, seconds, tmp_path) in film.number_at(shown, seconds)
    told = javascript("video", film, 5.02, 1.5)
    assert told["seconds"] == pytest.approx(film.seconds, abs=0.002)
    assert told["requests"] == 1, "the page looks for the length all over the film"
    for seconds, number in zip((5.02, 1.5), told["shown"]):
        assert number in film.number_at(shown, seconds)
    copied = Film(pathlib.Path(shutil.copy(film.path, folder)))
    copied.path.chmod(0o644)
    check_vlc(copied, shown, folder)
