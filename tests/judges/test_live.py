"""The simulated camera's live stream, judged by ffmpeg: the pictures, not only the bytes."""

import hashlib
import io
import json
import threading
import time
import urllib.request

import av
import numpy
import pytest

from conftest import scaled, tool
import beep
import flv
import timecode


@pytest.mark.parametrize("quality,size", [
    ("standard", (640, 360)), ("high", (1280, 720)), ("super", (1920, 1080))])
def test_every_quality_decodes_without_a_warning_and_without_a_gap(camera, quality, size):
    seconds = scaled(60)
    stream = flv.whole(camera().record(seconds, quality=quality))
    probe = json.loads(tool("ffprobe", "-v", "warning", "-of", "json", "-show_streams", "-f", "flv",
                            "-i", "-", data=stream))
    video, audio = probe["streams"]
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", *size)
    assert video["r_frame_rate"] == "25/1"
    assert (audio["codec_name"], audio["profile"], audio["sample_rate"]) == ("aac", "LC", "16000")
    tool("ffmpeg", "-v", "warning", "-xerror", "-f", "flv", "-i", "-", "-f", "null", "-", data=stream)

    shown = timecode.pictures(stream)
    numbers = [number for number, _ in shown]
    assert len(numbers) >= (seconds - 1) * 25
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a picture is missing"
    captured = [millis for _, millis in shown]
    steps = numpy.diff(captured)
    assert steps.min() >= 20 and steps.max() <= 60, "the clock in the picture jumps"
    assert abs(captured[0] - time.time() * 1000) < (seconds + 30) * 1000, "the clock is wrong"


def test_the_stream_is_in_the_order_that_players_want(camera):
    tags = flv.tags(camera().record(3, quality="high"))
    assert tags[0].kind == 18 and b"onMetaData" in tags[0].data
    assert tags[1].is_video and tags[1].is_header
    assert tags[2].is_audio and tags[2].is_header
    first = tags[3]
    assert first.is_key and first.timestamp == 0
    for kind in (8, 9):
        stamps = [tag.timestamp for tag in tags if tag.kind == kind and not tag.is_header]
        assert stamps == sorted(stamps) and len(set(stamps)) == len(stamps)
    assert all(tag.timestamp == 0 for tag in tags[:4])


def test_the_bitrate_is_the_configured_one(camera):
    source = '{ kind = "sim", every_picture = true, bitrate = [400000, 2000000, 8000000] }'
    daemon = camera(source=source)
    for quality, wanted in [("standard", 400e3), ("high", 2e6), ("super", 8e6)]:
        tags = [tag for tag in flv.tags(daemon.record(4.5, quality=quality)) if tag.is_picture]
        keys = [index for index, tag in enumerate(tags) if tag.is_key]
        gop = tags[keys[0]:keys[0] + 100]
        seconds = (gop[-1].timestamp - gop[0].timestamp + 40) / 1000
        rate = sum(len(tag.payload) for tag in gop) * 8 / seconds
        assert 0.8 * wanted < rate < 1.25 * wanted, f"{quality}: {rate:.0f} bit/s"


def test_two_viewers_see_the_same_frames(camera):
    daemon = camera()
    streams = [None, None]

    def watch(index):
        streams[index] = daemon.record(4, quality="high")

    viewers = [threading.Thread(target=watch, args=(index,)) for index in range(2)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join()
    seen = []
    for stream in streams:
        pictures = [tag for tag in flv.tags(stream) if tag.is_picture]
        numbers = [number for number, _ in timecode.pictures(flv.whole(stream))]
        hashes = [hashlib.sha256(tag.payload).hexdigest() for tag in pictures]
        seen.append(dict(zip(numbers, hashes, strict=True)))
    common = seen[0].keys() & seen[1].keys()
    assert len(common) > 50
    assert all(seen[0][number] == seen[1][number] for number in common)


def test_beep_and_clock_agree(camera):
    stream = flv.whole(camera().record(max(6, scaled(60)), quality="standard"))
    shown = timecode.pictures(stream)
    pictures = [tag.timestamp for tag in flv.tags(stream) if tag.is_picture]
    # Where the wall clock stands at timestamp 0.
    offsets = [captured - stamp for (_, captured), stamp in zip(shown, pictures, strict=True)]
    offs = beep.offs(stream, "flv", float(numpy.median(offsets[50:])))
    assert len(offs) >= 3
    assert max(map(abs, offs)) <= 40, f"beeps are {offs} ms off the second"


@pytest.mark.parametrize("force_key", ["true", "false"])
def test_a_late_viewer_shows_the_newest_picture_first(camera, force_key):
    daemon = camera(source='{ kind = "sim", every_picture = true, force_key = %s, gop = 250 }' % force_key)
    stop = threading.Event()
    newest = {}

    def watch():
        with urllib.request.urlopen(daemon.live(quality="standard"), timeout=20) as answer:
            while not stop.is_set():
                newest["bytes"] = newest.get("bytes", b"") + answer.read1(1 << 16)

    watcher = threading.Thread(target=watch)
    watcher.start()
    time.sleep(3)  # lets the GOP grow old; nothing is ordered by it
    before = len([tag for tag in flv.tags(newest["bytes"]) if tag.is_picture])
    late = daemon.record(1.5, quality="standard")
    stop.set()
    watcher.join()

    first_of_watcher = timecode.pictures(flv.whole(newest["bytes"]))[0][0]
    shown = timecode.pictures(flv.whole(late))
    tags = [tag for tag in flv.tags(late) if tag.is_picture]
    squeezed = sum(1 for a, b in zip(tags, tags[1:]) if b.timestamp - a.timestamp == 1)
    # The first picture that stays on the screen for a whole frame interval.
    first_seen = shown[squeezed][0]
    assert first_seen >= first_of_watcher + before - 2, "an old picture is shown"
    if force_key == "true":
        assert squeezed == 0, "the key frame was made for this viewer"
        assert daemon.metric("peercam_live_key_requests_total") >= 1
    else:
        assert squeezed >= 50 and tags[squeezed].timestamp == squeezed
    media = flv.tags(late)[3:]  # behind metadata and sequence headers
    first_sound = next(index for index, tag in enumerate(media) if tag.is_audio)
    assert first_sound > squeezed, "no sound comes with the squeezed pictures"


def test_a_storm_of_joins_does_not_ruin_the_bitrate(camera):
    daemon = camera("[http]\nmax_viewers = 300\nmax_connections = 400\n")
    result = {}

    def watch():
        result["stream"] = daemon.record(6, quality="high")

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(200):
        with urllib.request.urlopen(daemon.live(quality="high"), timeout=20) as answer:
            assert answer.read(13)[:3] == b"FLV"
    watcher.join()
    pictures = [tag for tag in flv.tags(result["stream"]) if tag.is_picture]
    seconds = pictures[-1].timestamp / 1000
    assert sum(tag.is_key for tag in pictures) <= seconds * 1.5 + 2
    rate = sum(len(tag.payload) for tag in pictures) * 8 / seconds
    assert rate < 1.5 * 1.5e6, f"{rate:.0f} bit/s"


@pytest.mark.parametrize("audio,codec", [("pcma", "pcm_alaw"), ("pcmu", "pcm_mulaw"), ("none", None)])
def test_other_sounds(camera, audio, codec):
    source = '{ kind = "sim", every_picture = true, audio = "%s" }' % audio
    stream = flv.whole(camera('audio = "pass"', source=source).record(3, quality="standard"))
    probe = json.loads(tool("ffprobe", "-v", "warning", "-of", "json", "-show_streams", "-f", "flv",
                            "-i", "-", data=stream))
    sounds = [one for one in probe["streams"] if one["codec_type"] == "audio"]
    assert [one["codec_name"] for one in sounds] == ([codec] if codec else [])
    if codec:
        assert (sounds[0]["sample_rate"], sounds[0]["channels"]) == ("8000", 1)
    tool("ffmpeg", "-v", "warning", "-xerror", "-f", "flv", "-i", "-", "-f", "null", "-", data=stream)
    numbers = [number for number, _ in timecode.pictures(stream)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_channels_are_cameras_of_their_own(camera):
    second = '[[channel]]\nid = 5\nname = "back"\nsource = { kind = "sim", every_picture = true, audio = "none" }\n'
    daemon = camera(second)
    for channel, streams in [(0, 2), (5, 1)]:
        stream = flv.whole(daemon.record(1.5, channel=channel, quality="standard"))
        assert len({tag.kind for tag in flv.tags(stream)} & {8, 9}) == streams
        assert timecode.pictures(stream)


def test_nobody_watching_costs_nothing(camera):
    daemon = camera()
    daemon.record(1, quality="super")

    def cpu():
        fields = open(f"/proc/{daemon.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    deadline = time.monotonic() + 10
    while daemon.metric("peercam_live_viewers") and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.2)
    threads = open(f"/proc/{daemon.process.pid}/status").read()
    assert "Threads:\t3\n" in threads, "the render thread has ended; the watchdog and the log are there"
    before = cpu()
    time.sleep(2)
    assert cpu() - before <= 2, "clock ticks of 10 ms in two idle seconds"


@pytest.mark.long
def test_faults_leave_a_stream_that_decodes(camera):
    daemon = camera(source='{ kind = "sim", every_picture = true, faults = ["stall", "late-key", "clock-step"], seed = 11, gop = 25 }')
    stream = flv.whole(daemon.record(scaled(60) + 27, quality="standard"))
    shown = timecode.pictures(stream)
    numbers = [number for number, _ in shown]
    gaps = [(b - a) for a, b in zip(numbers, numbers[1:]) if b != a + 1]
    assert gaps and all(25 <= gap - 1 <= 76 for gap in gaps), f"stalls of 1 to 3 s: {gaps}"
    pictures = [tag.timestamp for tag in flv.tags(stream) if tag.is_picture]
    stamp_gaps = [(b - a) // 40 for a, b in zip(pictures, pictures[1:]) if b - a > 60]
    assert stamp_gaps == gaps, "timestamps go on by what was missed"
    steps = [b - a for (_, a), (_, b) in zip(shown, shown[1:])]
    assert any(abs(step) > 5000 for step in steps), "the wall clock stepped"


def test_a_snapshot_is_the_present(camera):
    daemon, stop = camera(), threading.Event()
    live = []

    def moment(picture):
        return timecode.wall(timecode.read_row(picture.to_ndarray(format="gray"), 1))

    def watch():
        with av.open(daemon.live(quality="standard"), timeout=20) as opened:
            for picture in opened.decode(video=0):
                live.append(moment(picture))
                if stop.is_set():
                    return

    def newest(behind):
        """What the camera showed last, once that is behind this."""
        deadline = time.monotonic() + 20
        while not live or live[-1] <= behind:
            assert time.monotonic() < deadline, "no such picture is shown"
            time.sleep(0.02)
        return live[-1]

    def snapshot():
        with urllib.request.urlopen(f"{daemon.base}/snapshot.jpg?channel=0", timeout=20) as answer:
            assert answer.headers["Content-Type"] == "image/jpeg"
            data = answer.read()
        with av.open(io.BytesIO(data)) as opened:
            pictures = list(opened.decode(video=0))
        assert [(picture.width, picture.height) for picture in pictures] == [(1280, 720)]
        return moment(pictures[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        before = newest(0)
        for _ in range(3):
            shown = snapshot()
            assert shown >= before, "a picture of the past"
            # By the camera's own clock, and a picture of the future never comes.
            before = newest(shown)
    finally:
        stop.set()
        watcher.join()
