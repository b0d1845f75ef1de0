"""Talkback heard through the simulated speaker, and panels seen in the picture."""

import concurrent.futures
import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
import wave

import numpy
import pytest

from conftest import tool
from proxy import P2P, Proxy, paired

RATE = 16000


def post(daemon, path, body=b"", content_type="application/x-www-form-urlencoded"):
    headers = {"Content-Type": content_type}
    request = urllib.request.Request(daemon.base + path, data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def heard(daemon, channel=0):
    """(samples, when the first of them sounded in ms since 1970)"""
    with urllib.request.urlopen(f"{daemon.base}/speaker.wav?channel={channel}", timeout=20) as answer:
        start = int(answer.headers["x-start-millis"])
        with wave.open(io.BytesIO(answer.read())) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
            return numpy.frombuffer(file.readframes(file.getnframes()), numpy.int16).astype(int), start


def tone(seconds, frequency=1000, rate=RATE):
    return (8000 * numpy.sin(2 * numpy.pi * frequency * numpy.arange(int(seconds * rate)) / rate)).astype("<i2")


def sounding(samples):
    """Seconds that are not silent."""
    return (numpy.abs(samples[:len(samples) // 80 * 80].reshape(-1, 80)) > 500).any(axis=1).sum() * 80 / RATE


def purity(samples, frequency=1000):
    """How much of half a second in the middle of what sounds is as high as it was."""
    loud = numpy.flatnonzero(numpy.abs(samples) > 500)
    middle = samples[loud[len(loud) // 4]:][:RATE // 2]
    spectrum = numpy.abs(numpy.fft.rfft(middle)) ** 2
    # A machine that was busy has put a little silence into it, which is heard as a few Hz more or less.
    pitch = numpy.arange(len(spectrum)) * RATE / len(middle)
    return spectrum[abs(pitch - frequency) <= 20].sum() / spectrum.sum()


def speakers(camera, count, text=""):
    """A daemon with so many channels: they are talked to at the same time."""
    more = "".join(f'[[channel]]\nid = {channel}\nsource = {{ kind = "sim" }}\n' for channel in range(1, count))
    return camera(more + text)


def at_once(work, inputs):
    """What `work` makes of each input and the number of its channel."""
    with concurrent.futures.ThreadPoolExecutor(len(inputs)) as pool:
        return list(pool.map(work, inputs, range(len(inputs))))


FORMATS = ["-c:a aac -b:a 48k -f adts", "-c:a aac -ar 22050 -f flv", "-c:a pcm_alaw -ar 8000 -f flv",
           "-c:a pcm_mulaw -ar 8000 -f flv", "-c:a pcm_s16le -ar 44100 -f flv", "-c:a pcm_s16le -ar 48000 -f wav",
           "-c:a pcm_s16le -ar 11025 -f wav", "-c:a pcm_alaw -ar 8000 -f wav"]
# How bare PCM says its rate: parameters, a type, samples.
BARE = [("", None, tone(1.5, rate=8000)),
        ("&sample_rate=11025", None, tone(1.5, rate=11025)),
        ("&rate=16000", None, tone(1.5)),
        ("&sample_rate=8000", "audio/L16;rate=22050;channels=1", tone(1.5, rate=22050).astype(">i2")),
        ("&sample_rate=24000", "audio/L16", tone(1.5, rate=24000).astype(">i2")),
        ("", "audio/pcm;rate=32000", tone(1.5, rate=32000)),
        ("&format=s16be&sample_rate=44100", None, tone(1.5, rate=44100).astype(">i2")),
        ("&channels=2", "audio/L16;rate=48000", numpy.repeat(tone(1.5, rate=48000), 2))]


def test_talk_of_every_format_and_rate_is_heard_as_it_was(camera):
    daemon = speakers(camera, len(FORMATS) + len(BARE))

    def talk(how, channel):
        if isinstance(how, str):
            sound = tool("ffmpeg", "-v", "error", "-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "-", *how.split(), "-", data=tone(1.5).tobytes())
            return post(daemon, f"/voice?channel={channel}", sound)
        query, content_type, samples = how
        return post(daemon, f"/voice?channel={channel}{query}", samples.tobytes(), content_type or "application/octet-stream")

    talks = FORMATS + BARE
    for channel, (how, answer) in enumerate(zip(talks, at_once(talk, talks))):
        assert answer["status"] == "0" and answer["lost"] == "0" and "advice" not in answer, (how, answer)
        assert 1450 <= int(answer["played"]) <= 1700, (how, answer)
        samples, _ = heard(daemon, channel)
        assert 1.4 <= sounding(samples) <= 1.7, f"{how}: all of it, but for what the speaker has in hand"
        assert purity(samples) > 0.8, f"{how}: as high as it was, and nothing else"


def test_ffmpeg_is_heard_to_its_end(camera):
    """It writes its last piece and closes."""
    outputs = ["-c:a aac -f flv", "-c:a aac -f adts", "-ar 8000 -c:a pcm_s16le -f s16le", "-c:a aac -f flv"]
    daemon = speakers(camera, len(outputs) + 2, P2P)
    with Proxy(paired(daemon)) as proxy:
        bases = [daemon.base, daemon.base, daemon.base, proxy.base]

        def talk(output, channel):
            if callable(output):
                return output(channel)
            source = "aevalsrc=0.25*sin(2*PI*1000*t):s=16000:d=3"
            tool("ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", source, *output.split(), f"{bases[channel]}/voice?channel={channel}")

        def too_fast(channel):
            """A microphone of 16 kHz that says nothing of it."""
            def pieces():
                start = time.time()
                for number in range(150):
                    time.sleep(max(0, start + number * 0.02 - time.time()))
                    yield tone(0.02).tobytes()
            return post(daemon, f"/voice?channel={channel}", pieces())

        def typed(channel):
            return post(proxy, f"/voice?channel={channel}", tone(3, rate=32000).astype(">i2").tobytes(), "audio/L16;rate=32000")

        outputs.append(typed)
        *_, typed_answer, answer = at_once(talk, outputs + [too_fast])
        assert typed_answer["played"] == "3000", typed_answer
        assert "sample_rate=16000" in answer["advice"] and int(answer["lost_ms"]) > 1000, answer
        time.sleep(0.5)  # for what the speaker has in hand
        late = daemon.metric("peercam_talk_lost_late_total") - int(answer["lost"])
        for channel, output in enumerate(outputs):
            samples, _ = heard(daemon, channel)
            # A block that a busy machine brought too late is nobody's end.
            assert sounding(samples) >= 2.98 - 0.064 * late, f"{output}: {sounding(samples)} s of 3, {late} blocks late"
            assert purity(samples) > 0.8, output


@pytest.mark.alone
def test_a_beep_is_heard_soon_after_it_was_made(camera):
    """A microphone that beeps on every second of the wall clock, 20 ms at a time, through FLV-less PCM."""
    daemon = camera()
    host, port = daemon.base.removeprefix("http://").split(":")
    stream = socket.create_connection((host, int(port)))
    stream.sendall(b"POST /voice?channel=0&sample_rate=16000 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
    beep = tone(1)
    start = time.time()
    for block in range(300):
        time.sleep(max(0, start + (block + 1) * 0.02 - time.time()))
        at = start + block * 0.02 + numpy.arange(320) / RATE
        index = numpy.round(at * RATE).astype(numpy.int64) % RATE
        samples = numpy.where(index < RATE // 10, beep[index], 0).astype("<i2").tobytes()
        stream.sendall(b"%x\r\n%s\r\n" % (len(samples), samples))
    samples, began = heard(daemon)
    stream.sendall(b"0\r\n\r\n")
    assert b'"lost":"0"' in stream.makefile("rb").read()
    loud = (numpy.abs(samples) > 3000).astype(int)
    onsets = [at for at in numpy.flatnonzero(numpy.diff(loud) == 1) if not loud[max(0, at - 800):at].any()]
    delays = [((began + at * 1000 / RATE) + 500) % 1000 - 500 for at in onsets]
    print("mouth to ear:", [round(delay) for delay in delays], "ms")
    assert len(delays) >= 4
    # When the speaker began is told in whole milliseconds, and a beep is seen some samples behind its onset.
    assert 0 <= min(delays) and max(delays) <= 220 + 2, f"{delays}: the bound is 200 ms and one block"


def last_picture(daemon):
    """The brightness of the picture that was sent last."""
    data = daemon.record(1.5, quality="standard")
    raw = tool("ffmpeg", "-v", "fatal", "-f", "flv", "-i", "-", "-map", "0:v", "-pix_fmt", "gray", "-f", "rawvideo", "-", data=data)
    return numpy.frombuffer(raw, numpy.uint8).reshape(-1, 360, 640)[-1].astype(int)


def panel(daemon, topic, **data):
    text = json.dumps({"topic": topic, "message_id": 1, "data": data})
    answer = post(daemon, "/command", f"action=user_define&channel=0&cmd={text}".encode())
    assert answer["result"] == "0" and answer["confirmation_topic"] == topic and answer["message_id"] == 1, answer
    return answer


@pytest.mark.parametrize("button,axis,sign", [("right", 1, -1), ("left", 1, 1), ("up", 0, 1), ("down", 0, -1)])
def test_the_picture_moves_where_the_button_says(camera, button, axis, sign):
    daemon = camera()
    before = last_picture(daemon)
    panel(daemon, "ptz", cmd=f"ptz_{button}_press")
    time.sleep(0.5)  # for as long as a finger stays
    place = panel(daemon, "ptz", cmd="ptz_release_pre")
    cells = abs(place["current_x"]) + abs(place["current_y"])
    assert cells >= 5, place
    after = last_picture(daemon)
    moved = numpy.roll(before, sign * cells * 4, axis=axis)
    # The colour bars, or where they end and the ramp begins; a box walks through both.
    end = 230 + sign * cells * 4
    region = (slice(80, 140), slice(330, 480)) if axis == 1 else (slice(end - 20, end + 20), slice(0, 640))
    alike = lambda one, other: (numpy.abs(one[region] - other[region]) <= 6).mean()
    assert alike(moved, after) > 0.85
    assert alike(before, after) < 0.75, "it is another picture"


def test_the_picture_turns_over(camera):
    daemon = camera()
    before = last_picture(daemon)
    panel(daemon, "Mirror_flip", mode="flip")
    after = last_picture(daemon)
    # The encoder's picture has 368 lines.
    assert numpy.abs(before[80:140, :] - after[227:287, :][::-1, ::-1]).max() <= 6
    panel(daemon, "Mirror_flip", mode="normal")
    again = last_picture(daemon)
    assert numpy.abs(before[80:140, :] - again[80:140, :]).max() <= 6


def test_standby_ends_what_is_watched_and_work_brings_it_back(camera):
    daemon = camera()
    ended = threading.Event()

    def watch():
        with urllib.request.urlopen(daemon.live(quality="standard"), timeout=20) as answer:
            while answer.read1(65536):
                pass
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    last_picture(daemon)
    panel(daemon, "set_status", status="standby")
    assert ended.wait(20)
    assert panel(daemon, "get_status")["status"] == "standby"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(daemon.live(quality="standard"), timeout=20)
    assert refused.value.code == 502 and "standby" in refused.value.read().decode()
    panel(daemon, "set_status", status="working")
    last_picture(daemon)
