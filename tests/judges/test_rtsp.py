"""A foreign camera behind the daemon: GStreamer's RTSP server, which gives on the simulated camera's
picture, so that the time code says what was lost and when."""

import subprocess
import threading
import time
import urllib.error
import urllib.request

import numpy
import pytest

from conftest import ROOT, opened, scaled, tool
import beep
import flv
import timecode

# Pictures are to be back within this of the source's return; tests fail at twice that.
BACK = 2.0


class Rtsp:
    """GStreamer's server, as a process of its own."""

    def __init__(self, source, *options, port="0"):
        script = ROOT / "tests/judges/rtsp_camera.py"
        self.process = subprocess.Popen(
            ["/usr/bin/python3", script, source, "--port", port, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = self.process.stdout.readline().strip()
        assert self.port, "GStreamer's server does not start: run tests/run"

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def rtsp():
    started = []

    def start(source, *options, port="0"):
        started.append(Rtsp(source, *options, port=port))
        return started[-1]

    yield start
    for server in started:
        server.kill()


def origin(camera, audio="aac"):
    """The camera whose picture is given on."""
    daemon = camera('audio = "pass"', source=f'{{ kind = "sim", every_picture = true, gop = 25, audio = "{audio}" }}')
    return f"{daemon.base}/ipc.flv?action=live"


def source(server, more="", path="cam"):
    return f'{{ kind = "rtsp", url = "rtsp://127.0.0.1:{server.port}/{path}" {more} }}'


def decodes(stream):
    tool("ffmpeg", "-v", "warning", "-xerror", "-f", "flv", "-i", "-", "-f", "null", "-fps_mode", "passthrough",
         "-enc_time_base", "1:1000", "-", data=flv.whole(stream))


def decoded(stream, codec):
    """The pictures that are shown; whatever a decoder complains about fails."""
    if codec == "h264":
        decodes(stream)
        return timecode.pictures(flv.whole(stream))
    # Debian's ffmpeg knows no CodecID 12: the elementary stream is looked at.
    return timecode.pictures(flv.hevc_elementary_stream(stream), "hevc")


class Watcher(threading.Thread):
    """A viewer that goes on until it is told to stop, and knows when each tag came."""

    def __init__(self, url):
        super().__init__()
        self.url, self.data, self.arrivals, self.done = url, bytearray(), [], False
        self.start()

    def run(self):
        with opened(self.url) as answer:
            while not self.done and (piece := answer.read1(1 << 16)):
                self.data += piece
                self.arrivals.append((time.monotonic(), len(self.data)))

    def began(self):
        """Itself, once it has something."""
        while self.is_alive() and not self.data:
            time.sleep(0.01)
        return self

    def stop(self):
        self.done = True
        self.join()
        return bytes(self.data)

    def first_key_after(self, moment):
        """When the first key picture after `moment` was there."""
        seen = max((size for at, size in self.arrivals if at < moment), default=0)
        sizes, at = [], 13
        for tag in flv.tags(bytes(self.data)):
            at += 15 + len(tag.data)
            sizes.append((at, tag.is_key))
        end = next(at for at, is_key in sizes if is_key and at > seen)
        return next(when for when, size in self.arrivals if size >= end)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("codec,audio", [("h264", "aac"), ("h265", "pcma")])
def test_what_comes_by_rtsp_is_what_the_camera_saw(camera, rtsp, codec, audio, transport):
    server = rtsp(origin(camera, audio), "--codec", codec, "--audio", audio)
    daemon = camera(source=source(server, f', transport = "{transport}"'))
    stream = daemon.record(max(11, scaled(120)))
    headers = [tag for tag in flv.tags(stream) if tag.is_header]
    assert len(headers) == 2 and headers[1].is_audio, "one for the picture, one for AAC"
    shown = decoded(stream, codec)
    numbers = [number for number, _ in shown]
    assert len(numbers) > 150
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a picture is missing"
    pictures = [tag.timestamp for tag in flv.tags(stream) if tag.is_picture]
    offsets = [captured - stamp for (_, captured), stamp in zip(shown, pictures, strict=True)]
    # Reports of the camera set sound to picture after some seconds.
    settled = offsets[160:]
    assert numpy.ptp(settled) <= 40, "timestamps run as the camera's clock does"
    if codec == "h264":
        tags = flv.tags(stream)
        late = flv.joined([tag for tag in tags if tag.is_header or tag.timestamp >= pictures[160]])
        # ffmpeg counts from the first picture that is left.
        offs = beep.offs(late, "flv", float(numpy.median(settled)) + pictures[160])
        print(f"beeps are {offs} ms off the second")
        assert len(offs) > 2 and max(map(abs, offs)) <= 40


@pytest.mark.parametrize("codec,transport", [("h264", "tcp"), ("h264", "udp"), ("h265", "tcp"), ("h265", "udp")])
def test_a_camera_that_is_killed_comes_back_and_nobody_else_notices(camera, rtsp, codec, transport):
    url = origin(camera)
    server = rtsp(url, "--codec", codec)
    daemon = camera(source=source(server, f', transport = "{transport}"'), text='[[channel]]\nid = 1\nsource = { kind = "sim", every_picture = true, gop = 25 }\n')
    watcher, other = Watcher(daemon.live(channel=0)), Watcher(daemon.live(channel=1))
    gaps = []
    for _ in range(int(scaled(60) / 3)):
        time.sleep(2)  # lets it play; nothing is ordered by it
        server.kill()
        time.sleep(2)  # the camera is off for so long
        server = rtsp(url, "--codec", codec, port=server.port)
        back = time.monotonic()
        time.sleep(BACK * 2)
        gaps.append(watcher.first_key_after(back) - back)
    print(f"pictures were back {max(gaps):.2f} s after the camera at most")
    assert max(gaps) <= 2 * BACK
    decoded(watcher.stop(), codec)
    numbers = [number for number, _ in timecode.pictures(flv.whole(other.stop()))]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "the other channel lost a picture"


def test_a_camera_may_come_back_with_another_codec(camera, rtsp):
    url = origin(camera)
    server = rtsp(url)
    daemon = camera(source=source(server))
    watcher = Watcher(daemon.live()).began()
    time.sleep(2)  # lets it play
    server.kill()
    rtsp(url, "--codec", "h265", port=server.port)
    time.sleep(2 * BACK + 2)
    tags = [tag for tag in flv.tags(watcher.stop()) if tag.is_video]
    configs = [index for index, tag in enumerate(tags) if tag.is_header]
    assert len(configs) == 2, "the same viewer sees both"
    for part, codec in ((tags[:configs[1]], "h264"), (tags[configs[1]:], "h265")):
        numbers = [number for number, _ in decoded(flv.joined(part), codec)]
        assert len(numbers) > 20 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_lost_packets_never_show(camera, rtsp, codec):
    server = rtsp(origin(camera), "--codec", codec, "--loss", "0.02")
    daemon = camera(source=source(server, ', transport = "udp"'))
    shown_without_harm(daemon.record(max(10, scaled(120))), codec)


def shown_without_harm(stream, codec):
    """Every picture that was sent decodes; some are missing, and not too many."""
    numbers = [number for number, _ in decoded(stream, codec)]
    made = numbers[-1] - numbers[0] + 1
    print(f"{len(numbers)} of {made} pictures shown with 2 % of packets lost")
    assert numbers == sorted(set(numbers))
    assert len(numbers) < made, "packets were lost"
    assert len(numbers) > made / 5


@pytest.mark.parametrize("method", [[], ["--basic"]])
def test_a_password_is_asked_for_and_never_shown(camera, rtsp, method):
    server = rtsp(origin(camera), "--password", "open-sesame", *method)
    for password, said in [("", "asks for a user and a password"),
                           (', user = "admin", password = "changed-since"', "refuses user and password")]:
        daemon = camera(source=source(server, password))
        with pytest.raises(urllib.error.HTTPError) as refused:
            daemon.record(1)
        reason = refused.value.read().decode()
        assert refused.value.code == 502 and said in reason, reason
        assert "changed-since" not in (daemon.directory / "log").read_text()
    daemon = camera(source=source(server, ', user = "admin", password = "open-sesame"'))
    decodes(daemon.record(2))
    assert "open-sesame" not in (daemon.directory / "log").read_text()


def test_a_picture_that_changes_its_size_goes_on(camera, rtsp):
    server = rtsp(origin(camera))
    daemon = camera(source=source(server))
    watcher = Watcher(daemon.live())
    time.sleep(2)  # lets it play
    server.say("quality high")
    time.sleep(4)
    stream = watcher.stop()
    tags = flv.tags(stream)
    configs = [index for index, tag in enumerate(tags) if tag.is_video and tag.is_header]
    assert len(configs) == 2
    decodes(stream)
    # Each part by itself, for a decoder that scales would spoil the time code.
    for part, size in ((tags[:configs[1]], "640,360"), (tags[configs[1]:], "1280,720")):
        piece = flv.joined(part)
        probed = tool("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of",
                      "csv=p=0", "-f", "flv", "-i", "-", data=piece)
        assert probed.decode().strip() == size
        numbers = [number for number, _ in timecode.pictures(piece)]
        assert len(numbers) > 20 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def reordered(camera, path, codec):
    """A film with B-pictures; with H.265 some lead the key picture that they follow."""
    clip = flv.whole(camera(source='{ kind = "sim", every_picture = true, gop = 50 }').record(12, quality="standard"))
    options = {"h264": ["libx264", "-x264-params", "b-pyramid=normal"],
               "h265": ["libx265", "-x265-params", "open-gop=1:log-level=error"]}[codec]
    tool("ffmpeg", "-v", "error", "-f", "flv", "-i", "-", "-c:v", *options, "-preset", "veryfast", "-bf", "3",
         "-g", "25", "-c:a", "copy", str(path), data=clip)
    return str(path)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_reordered_pictures_are_shown_in_order(camera, rtsp, tmp_path, codec):
    server = rtsp(reordered(camera, tmp_path / "reordered.mp4", codec), "--codec", codec)
    daemon = camera(source=source(server))
    stream = daemon.record(5)
    assert any(tag.composition for tag in flv.tags(stream) if tag.is_picture), "it has B-pictures"
    numbers = [number for number, _ in decoded(stream, codec)]
    assert len(numbers) > 50
    # The last few wait for pictures behind the end of what was recorded.
    assert numbers[:-4] == list(range(numbers[0], numbers[0] + len(numbers) - 4))


@pytest.mark.long
def test_pictures_that_lead_a_key_picture_are_shown_only_if_nothing_is_missing(camera, rtsp, tmp_path):
    server = rtsp(reordered(camera, tmp_path / "reordered.mp4", "h265"), "--codec", "h265", "--loss", "0.02")
    daemon = camera(source=source(server, ', transport = "udp"'))
    shown_without_harm(daemon.record(8), "h265")
