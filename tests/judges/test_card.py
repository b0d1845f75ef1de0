"""A card that stops to answer, judged from outside."""

import json
import os
import signal
import socket
import time
import urllib.request

import pytest

from hanging_card import Card
from test_recording import wait_for

START = 1_767_225_600_000
CONTENT = bytes(range(256)) * 4096


def health(daemon):
    with urllib.request.urlopen(f"{daemon.base}/healthz", timeout=5) as answer:
        return json.load(answer)["recording"]["problem"] or ""


def threads(daemon):
    return len(os.listdir(f"/proc/{daemon.process.pid}/task"))


def ask(daemon, number):
    """Asks for a file and reads nothing yet."""
    host, port = daemon.base.removeprefix("http://").split(":")
    stream = socket.create_connection((host, int(port)), 20)
    stream.sendall(f"GET /ipc.flv?action=download&file_name=0-{START + number}.mp4 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return stream


def has_ended(daemon):
    """Whether only threads that sleep in the kernel are left of it."""
    stat = open(f"/proc/{daemon.process.pid}/stat").read()
    return stat.rpartition(")")[2].split()[0] == "Z"


def download(daemon):
    with ask(daemon, 0) as stream, stream.makefile("rb") as answer:
        return answer.read().partition(b"\r\n\r\n")[2]


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/fuse"), reason="FUSE needs root and /dev/fuse")
def test_a_card_that_hangs(camera, tmp_path):
    names = [f"ch0/2026-01-01/{START + number}_1000_0_{len(CONTENT)}.mp4" for number in range(20)]
    card = Card(tmp_path / "card", {name: CONTENT for name in names})
    try:
        daemon = camera(f'[record]\npath = "{card.path}"\nmount = "{card.path}"\nmode = "off"\n')
        wait_for(lambda: "ead-only" in health(daemon))
        assert download(daemon) == CONTENT
        before = threads(daemon)

        card.hang()
        waiting = [ask(daemon, number) for number in range(20)]
        for stream in waiting[10:]:
            stream.close()
        time.sleep(1)
        assert threads(daemon) <= before + 4
        daemon.record(2)
        told = wait_for(lambda: (problem := health(daemon)) and "does not answer since" in problem and problem)
        for stream in waiting[:10]:
            assert b" 502 " in stream.recv(64), told

        card.answer()
        wait_for(lambda: "not answer" not in health(daemon))
        assert download(daemon) == CONTENT

        # Nothing that is ours waits for it in the end.
        card.hang()
        waiting = ask(daemon, 1)
        time.sleep(0.5)
        daemon.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        wait_for(lambda: has_ended(daemon))
        assert time.monotonic() - began < 8, (daemon.directory / "log").read_text()
        card.answer()
        daemon.stop()
    finally:
        card.close()
