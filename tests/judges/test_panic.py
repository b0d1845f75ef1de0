"""Cameras whose answers make the library that reads them panic, in front of a program that unwinds as what
ships: each is off, and nobody else notices."""

import json
import os
import pathlib
import socketserver
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from conftest import PROGRAM, opened

DESCRIPTION = ("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n{oddity}m=video 0 RTP/AVP 96\r\n"
               "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAHtkAoD2wEQAAAwABAAADADIPFi5I,aMuDyyA=\r\n"
               "a=control:v\r\n")
# What is wrong with each: its description, or the session that it names.
ODDITIES = {
    "description": ("nonsense\r\na=tool:x\r\n", "12345678;timeout=60"),
    "blank": ("", "12345678 ;timeout=60"),
    "nameless": ("", ";timeout=60"),
}


class Answers(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            head = []
            while (line := self.rfile.readline().decode()) not in ("", "\r\n"):
                head.append(line.strip())
            if not head:
                return
            method, target, _ = head[0].split()
            number = next(line for line in head if line.startswith("CSeq"))
            oddity, session = ODDITIES[self.server.oddity]
            body, lines = "", []
            if method == "DESCRIBE":
                body = DESCRIPTION.format(oddity=oddity)
                lines = ["Content-Type: application/sdp", f"Content-Base: {target}/", f"Content-Length: {len(body)}"]
            elif method == "SETUP":
                self.server.asked += 1
                lines = [f"Session: {session}", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"]
            self.wfile.write("\r\n".join(["RTSP/1.0 200 OK", number, *lines, "", body]).encode())


@pytest.fixture
def oddity():
    started = []

    def start(oddity):
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answers)
        server.daemon_threads, server.oddity, server.asked = True, oddity, 0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return f"rtsp://127.0.0.1:{server.server_address[1]}/main"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def files(directory):
    return sum(path.stat().st_size for path in pathlib.Path(directory).rglob("*.mp4"))


def test_one_camera_ends_nothing_but_itself(camera, oddity, tmp_path):
    card = tmp_path / "card"
    channels = "".join(f"""
[[channel]]
id = {number}
record = "off"
source = {{ kind = "rtsp", url = "{oddity(name)}", pull = "always" }}
""" for number, name in enumerate(ODDITIES, 1))
    daemon = camera(f'{channels}\n[record]\npath = "{card}"\n')
    daemon.may_panic = True
    with opened(daemon.live(channel=0)) as watched:
        # Each has been tried at least twice, so each panicked, was left alone and was asked again.
        end = time.monotonic() + 30
        while daemon.metric('peercam_panics_total{part="camera"}') < 2 * len(ODDITIES):
            assert time.monotonic() < end and watched.read1(1 << 16)
        written = files(card)
        while files(card) == written:
            assert time.monotonic() < end and watched.read1(1 << 16)
    for number in range(1, 1 + len(ODDITIES)):
        with pytest.raises(urllib.error.HTTPError) as refused:
            opened(daemon.live(channel=number))
        assert refused.value.code == 502 and "makes the library that reads it fail" in str(refused.value)
    health = json.load(urllib.request.urlopen(f"{daemon.base}/healthz", timeout=20))
    assert health["status"]
    assert daemon.process.poll() is None
    log = (daemon.directory / "log").read_text()
    # The place in the code, and not what was read.
    assert "has panicked" in log and "retina-" in log and "nonsense" not in log


@pytest.mark.parametrize("name", ODDITIES)
def test_probe_says_it_in_words(oddity, name):
    probe = subprocess.run([PROGRAM, "probe", "--seconds", "1", oddity(name)], capture_output=True, text=True, timeout=60,
                           env={**os.environ, "PEERCAM_LOG": "error"})
    assert probe.returncode == 1, probe
    assert "makes the library that reads it fail" in probe.stderr and "RUST_BACKTRACE" not in probe.stderr
