"""Talkback heard through the simulated speaker, and panels seen in the picture."""

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

RATE = 16000


def post(daemon, path, body=b""):
    request = urllib.request.Request(daemon.base + path, data=body, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def heard(daemon):
    """(samples, when the first of them sounded in ms since 1970)"""
    with urllib.request.urlopen(f"{daemon.base}/speaker.wav", timeout=20) as answer:
        start = int(answer.headers["x-start-millis"])
        with wave.open(io.BytesIO(answer.read())) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
            return numpy.frombuffer(file.readframes(file.getnframes()), numpy.int16).astype(int), start


def tone(seconds, frequency=1000, rate=RATE):
    return (8000 * numpy.sin(2 * numpy.pi * frequency * numpy.arange(int(seconds * rate)) / rate)).astype("<i2")


FORMATS = {
    "adts": ("-c:a aac -b:a 48k -f adts", 16000, "a.aac"),
    "flv-aac": ("-c:a aac -ar 22050 -f flv", 22050, "a.flv"),
    "flv-alaw": ("-c:a pcm_alaw -ar 8000 -f flv", 8000, "a.flv"),
    "flv-ulaw": ("-c:a pcm_mulaw -ar 8000 -f flv", 8000, "a.flv"),
    "flv-pcm": ("-c:a pcm_s16le -ar 44100 -f flv", 44100, "a.flv"),
    "wav": ("-c:a pcm_s16le -ar 48000 -f wav", 48000, "a.wav"),
    "wav-alaw": ("-c:a pcm_alaw -ar 8000 -f wav", 8000, "a.wav"),
    "bare": ("-c:a pcm_s16le -f s16le", 16000, "a.pcm"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_what_ffmpeg_writes_is_heard_as_it_was(camera, name):
    daemon = camera()
    options, _, _ = FORMATS[name]
    sound = tool("ffmpeg", "-v", "error", "-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "-", *options.split(), "-", data=tone(1.5).tobytes())
    answer = post(daemon, "/voice?channel=0", sound)
    assert answer["status"] == "0" and answer["lost"] == "0", answer
    assert 1450 <= int(answer["played"]) <= 1700, answer
    samples, _ = heard(daemon)
    loud = numpy.flatnonzero(numpy.abs(samples) > 500)
    sounding = (numpy.abs(samples[:len(samples) // 80 * 80].reshape(-1, 80)) > 500).any(axis=1).sum() * 80 / RATE
    assert 1.4 <= sounding <= 1.7, "all of it, but for what the speaker has in hand"
    middle = samples[loud[len(loud) // 4]:][:RATE // 2]
    spectrum = numpy.abs(numpy.fft.rfft(middle)) ** 2
    # A machine that was busy has put a little silence into it, which is heard as a few Hz more or less.
    pitch = numpy.arange(len(spectrum)) * RATE / len(middle)
    assert spectrum[abs(pitch - 1000) <= 20].sum() > 0.8 * spectrum.sum(), "as high as it was, and nothing else"


@pytest.mark.alone
def test_a_beep_is_heard_soon_after_it_was_made(camera):
    """A microphone that beeps on every second of the wall clock, 20 ms at a time, through FLV-less PCM."""
    daemon = camera()
    host, port = daemon.base.removeprefix("http://").split(":")
    stream = socket.create_connection((host, int(port)))
    stream.sendall(b"POST /voice?channel=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
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
