"""Players, browsers and scripts on the viewer's side, through `peercam proxy`."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import av
import numpy
import pytest

from conftest import scaled, tool
from proxy import P2P, Proxy, paired
from test_browser import browse, chromium, nothing_was_read, page, rebind  # noqa: F401 (a fixture)
import flv
import timecode


def fetch(url, data=None):
    with urllib.request.urlopen(url, data=data, timeout=20) as answer:
        return answer.read()


@pytest.mark.parametrize("quality", ["standard", "super"])
def test_what_comes_through_decodes_without_a_warning_and_without_a_gap(camera, quality):
    daemon, seconds = camera(P2P), scaled(60)
    with Proxy(paired(daemon)) as proxy, urllib.request.urlopen(proxy.live(quality=quality), timeout=20) as answer:
        assert answer.headers["Content-Type"] == "video/x-flv"
        stream, end = bytearray(answer.read1(1 << 16)), time.monotonic() + seconds
        while time.monotonic() < end:
            stream += answer.read1(1 << 16)
    stream = flv.whole(bytes(stream))
    tool("ffmpeg", "-v", "warning", "-xerror", "-f", "flv", "-i", "-", "-f", "null", "-", data=stream)
    shown = timecode.pictures(stream)
    numbers = [number for number, _ in shown]
    assert len(numbers) >= (seconds - 1) * 25
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a picture is missing"
    steps = numpy.diff([millis for _, millis in shown])
    assert steps.min() >= 20 and steps.max() <= 60, "the clock in the picture jumps"


def test_ffmpeg_plays_the_url_that_apps_use(camera):
    daemon = camera(P2P)
    with Proxy(paired(daemon)) as proxy:
        url = proxy.live(channel=0, quality="high")
        assert "/ipc.p2p.com/ipc.flv?" in url
        shown = tool("ffmpeg", "-v", "error", "-i", url, "-t", "2", "-f", "framemd5", "-map", "0:v", "-")
        assert shown.count(b"\n0, ") >= 40


def test_a_player_goes_on_over_an_update_of_the_device(camera):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("0.0.0.0", 0))
        port = free.getsockname()[1]
    daemon = camera(f"[p2p]\nport = {port}\n")
    numbers, moments, keys, stamps, is_updated = [], [], [], {}, False
    with Proxy(paired(daemon)) as proxy, av.open(proxy.live(quality="standard"), timeout=30) as player:
        for packet in player.demux():
            assert packet.dts is not None, "it came to an end"
            stamps.setdefault(packet.stream.type, []).append(packet.dts)
            for picture in packet.decode() if packet.stream.type == "video" else ():
                luma = picture.to_ndarray(format="gray")
                numbers.append(timecode.read_row(luma, 0))
                moments.append(timecode.wall(timecode.read_row(luma, 1)))
                keys.append(picture.key_frame)
            # With SIGTERM, and it must end in order.
            if len(numbers) >= 25 and not is_updated:
                is_updated = True
                daemon.stop()
                daemon.start()
            if len(numbers) == 100:
                break
    # The camera of the new process counts its pictures from the beginning.
    breaks = [at for at in range(1, len(numbers)) if numbers[at] != numbers[at - 1] + 1]
    assert len(breaks) == 1 and breaks[0] >= 25, numbers
    assert keys[breaks[0]] and numbers[breaks[0]] < numbers[breaks[0] - 1], numbers
    assert min(numpy.diff(moments)) > 0, "the clock in the picture goes back"
    assert stamps.keys() == {"audio", "video"}
    for kind, of in stamps.items():
        assert min(numpy.diff(of)) > 0, f"{kind}: timestamps go back"


@pytest.mark.parametrize("options", [[], ["--allow-placeholder-hosts"]])
def test_a_page_whose_name_comes_to_point_at_the_proxy_reads_nothing(camera, options):
    daemon = camera(P2P)
    with Proxy(paired(daemon), *options) as proxy:
        nothing_was_read(rebind(proxy.base))
    assert daemon.metric("peercam_live_source_frames_total") == 0, "a camera was started"


def test_the_browser_plays_it_and_other_pages_do_not(camera, page):
    daemon = camera(P2P)
    with Proxy(paired(daemon), "--allow-origin", page) as proxy:
        seen = browse(page, proxy.live(quality="high"), 50)
        assert not seen["errors"] and seen["decoded"] >= 50, seen
    before = daemon.metric("peercam_live_source_frames_total")
    with Proxy(paired(daemon)) as proxy:
        base = proxy.base.removesuffix("/ipc.p2p.com")
        seen = chromium("hostile.mjs", base, f"{page}/player.html",
                        f"{page.replace('127.0.0.1', 'localhost')}/player.html")
        assert min(seen["attempts"]) >= 30, seen
        assert set(seen["statuses"]) == {"403"}, seen
    assert daemon.metric("peercam_live_source_frames_total") == before, "a camera was started"


@pytest.mark.skipif(os.getuid() != 0, reason="another user can be had by root only")
def test_a_proxy_serves_its_own_user_only(camera):
    daemon = camera(P2P)
    script = "import sys, urllib.request, urllib.error\n" \
        "try: print(urllib.request.urlopen(sys.argv[1], timeout=20).status)\n" \
        "except urllib.error.HTTPError as error: print(error.code, error.read().decode())"

    def ask(proxy, **who):
        url = f"{proxy.base}/healthz"
        done = subprocess.run(["/usr/bin/python3", "-c", script, url], capture_output=True, text=True, timeout=60,
                              cwd="/", **who)
        return done.stdout + done.stderr

    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    with Proxy(paired(daemon)) as proxy:
        assert ask(proxy) == "200\n"
        refused = ask(proxy, **nobody)
        assert refused.startswith("403 ") and "--any-user" in refused, refused
    with Proxy(paired(daemon), "--any-user") as proxy:
        assert ask(proxy, **nobody) == "200\n"


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], body))
        if self.path.startswith("/redirect"):
            self.send_response(307)
            self.send_header("Location", "/elsewhere")
        else:
            self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def receiver():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.got = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def test_what_the_device_says_is_printed_posted_and_streamed(camera, receiver):
    daemon = camera(P2P)
    post_to = f"http://127.0.0.1:{receiver.server_address[1]}"
    with Proxy(paired(daemon), "--feedback-url", f"{post_to}/hook?a=1") as proxy:
        events = urllib.request.urlopen(f"{proxy.base}/events", timeout=20)
        assert events.headers["Content-Type"] == "text/event-stream"
        assert events.readline() == b": what the device says\n"
        fetch(f"{proxy.base}/command?action=inner_define&cmd=get_nvr_list", b"")
        session = json.loads(fetch(f"{daemon.base}/sessions"))["sessions"][0]["session"]
        for message in ['{"iv_private_cmd":"call_cancel"}', '{"text":"\u4f60\\u0000\\n","n":[1,\n2]}']:
            url = f"{daemon.base}/ipc.p2p.com/forward/{session}/proxy.sample.server/feedback?_token=1"
            assert json.loads(fetch(url, message.encode())) == {"status": "0"}
            printed = proxy.process.stdout.readline()
            assert json.loads(printed.removeprefix("feedback ")) == json.loads(message)
            assert [events.readline() for _ in range(2)] == [b"\n", b"event: feedback\n"]
            line = events.readline()
            assert json.loads(line.removeprefix(b"data: ")) == json.loads(message)
        deadline = time.monotonic() + 20
        while len(receiver.got) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [got[:2] for got in receiver.got] == [("/hook?a=1", "application/json")] * 2
        assert json.loads(receiver.got[0][2]) == {"iv_private_cmd": "call_cancel"}
    with Proxy(paired(daemon), "--feedback-url", f"{post_to}/redirect") as proxy:
        fetch(f"{proxy.base}/command?action=inner_define&cmd=get_nvr_list", b"")
        session = json.loads(fetch(f"{daemon.base}/sessions"))["sessions"][-1]["session"]
        fetch(f"{daemon.base}/forward/{session}/feedback", b"{}")
        deadline = time.monotonic() + 20
        while "307" not in proxy.said() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "307" in proxy.said(), "it is said, and not followed"
    assert [got[0] for got in receiver.got[2:]] == ["/redirect"]
