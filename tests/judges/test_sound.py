"""What players get of a camera's sound, where it has none that they play: judged by FFmpeg."""

import io
import json
import threading
import time
import urllib.request

import av
import numpy
import pytest

import beep
import flv
import timecode

RECORD = '[record]\nsegment = "5s"\nquality = "standard"\n'
# Without silence, FFmpeg looks for sound for 5 s.
SECONDS = 7


class Counted(io.BytesIO):
    """Knows how much of it was looked at."""

    looked_at = 0

    def read(self, size=-1):
        data = super().read(size)
        self.looked_at = max(self.looked_at, self.tell())
        return data

    def seekable(self):
        return False


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    """One daemon: live streams of its channels by name, and a file that it recorded of the first."""
    from conftest import Camera
    sources = {"silence": "silence", "real": "aac", "alaw": "pcma", "none": "none"}
    channels = "".join(
        f'[[channel]]\nid = {number}\nrecord = "{"off" if number else "always"}"\n'
        f'source = {{ kind = "sim", every_picture = true, gop = 25, audio = "{audio}" }}\n'
        for number, audio in enumerate(sources.values()))
    daemon = Camera(tmp_path_factory.mktemp("sound"), '[[listen]]\naddr = "127.0.0.1:0"\n' + channels + RECORD)
    try:
        found = {}

        def watch(channel, name):
            found[name] = flv.whole(daemon.record(SECONDS, channel=channel, quality="standard"))

        watchers = [threading.Thread(target=watch, args=one) for one in enumerate(sources)]
        for watcher in watchers:
            watcher.start()
        for watcher in watchers:
            watcher.join()
        found["recorded"] = whole_file(daemon)
        yield found
    finally:
        daemon.stop()


def whole_file(daemon):
    """The first file, once there is another one."""
    end = time.monotonic() + 40
    while time.monotonic() < end:
        url = f"{daemon.base}/command?action=inner_define&channel=0&cmd=get_file_list&file_type=0"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=20) as answer:
            listed = json.load(answer)["file_list"]
        if len(listed) > 1:
            url = f"{daemon.base}/ipc.flv?action=download&channel=0&file_name={listed[0]['file_name']}&offset=0"
            with urllib.request.urlopen(url, timeout=20) as answer:
                return answer.read()
        time.sleep(0.1)
    raise AssertionError("nothing is recorded")


def decoded(media, container):
    """Times of pictures and of blocks of sound, in ms, and the samples."""
    pictures, sounds, samples = [], [], []
    with av.open(io.BytesIO(media), format=container) as opened:
        for frame in opened.decode():
            if isinstance(frame, av.VideoFrame):
                pictures.append(round(frame.time * 1000))
            else:
                sounds.append(round(frame.time * 1000))
                samples.append(frame.to_ndarray())
    return pictures, sounds, numpy.concatenate(samples, axis=1) if samples else None


@pytest.mark.parametrize("name,container", [("silence", "flv"), ("recorded", "mp4")])
def test_silence_is_silent_and_in_step_with_the_pictures(streams, name, container):
    pictures, sounds, samples = decoded(streams[name], container)
    with av.open(io.BytesIO(streams[name]), format=container) as opened:
        codec = opened.streams.audio[0].codec_context
        assert (codec.name, codec.sample_rate, codec.channels) == ("aac", 16_000, 1)
    assert not samples.any()
    assert set(numpy.diff(sounds)) == {64}
    assert all(39 <= step <= 41 for step in numpy.diff(pictures)[25:]), "the rest came with the viewer"
    assert -64 <= sounds[-1] - pictures[-1] <= 64
    assert sounds[0] - pictures[0] <= 105


def test_players_do_not_wait_for_sound_that_never_comes(streams):
    """How much of a stream FFmpeg looks at before it shows anything, in ms of the stream."""
    looked_at = {}
    for name in ("silence", "real", "alaw", "none"):
        source = Counted(streams[name])
        with av.open(source, format="flv", buffer_size=1024):
            seen, stamps = 13, [0]
            for tag in flv.tags(streams[name]):
                seen += 15 + len(tag.data)
                if seen > source.looked_at:
                    break
                stamps.append(tag.timestamp)
        looked_at[name] = max(stamps)
    print(f"FFmpeg looks at {looked_at} ms")
    assert looked_at["silence"] <= looked_at["real"] + 200
    assert looked_at["silence"] < 2_500


def test_nothing_is_added_to_real_sound(streams):
    real = [tag for tag in flv.tags(streams["real"]) if tag.is_audio]
    assert sum(tag.is_header for tag in real) == 1
    assert set(numpy.diff([tag.timestamp for tag in real[1:]])) == {64}
    _, sounds, samples = decoded(streams["real"], "flv")
    assert numpy.abs(samples).max() > 0.3, "the beep"
    _, sounds, samples = decoded(streams["alaw"], "flv")
    assert set(numpy.diff(sounds)) == {128} and numpy.abs(samples).max() > 0.3, "AAC of G.711"
    for name in ("real", "alaw"):
        stamps = [tag.timestamp for tag in flv.tags(streams[name]) if tag.is_picture]
        walls = [wall for _, wall in timecode.pictures(streams[name])]
        offs = beep.offs(streams[name], "flv", numpy.median(numpy.subtract(walls, stamps)))
        assert len(offs) >= SECONDS - 2 and max(map(abs, offs[1:])) <= 10, f"{name}: beeps are {offs} ms off the second"
    assert not [tag for tag in flv.tags(streams["none"]) if tag.is_audio]
