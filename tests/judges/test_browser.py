"""Chromium with mpegts.js plays the live stream; a page of another origin does not."""

import functools
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import threading
import urllib.parse

import pytest

HERE = pathlib.Path(__file__).parent
MODULES = pathlib.Path(os.environ.get("PEERCAM_NODE_MODULES", HERE / "node_modules"))


@pytest.fixture
def page():
    """A web server on an origin of its own, with the player."""
    handler = functools.partial(Handler, directory=str(HERE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()


class Handler(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path):
        if path.endswith("mpegts.js"):
            return str(MODULES / "mpegts.js/dist/mpegts.js")
        return super().translate_path(path)

    def log_message(self, *arguments):
        pass


def chromium(script, *arguments):
    """What a script that drives Chromium prints."""
    assert shutil.which("chromium") and shutil.which("node"), "run tests/run"
    done = subprocess.run(
        ["node", str(HERE / script), *arguments],
        capture_output=True, text=True, timeout=120, env=os.environ | {"NODE_PATH": str(MODULES)})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def browse(page, stream, pictures):
    """What the player saw, as browser.mjs tells it."""
    return chromium("browser.mjs", f"{page}/player.html", stream, str(pictures))


@pytest.mark.parametrize("quality", ["high", "super"])
def test_the_browser_shows_the_newest_pictures(camera, page, quality):
    daemon = camera(origins=[page])
    seen = browse(page, daemon.live(quality=quality), 50)
    assert not seen["errors"], seen
    # A busy machine may leave pictures out of what it shows; the stream loses none.
    assert seen["decoded"] >= 50 and seen["dropped"] <= seen["decoded"] / 5, seen
    numbers = seen["numbers"]
    assert len(set(numbers)) >= 10 and numbers == sorted(numbers), numbers
    assert seen["late_ms"] < 5000, "the time code against the browser's clock"
    assert seen["hasAudio"]


def test_a_page_of_another_origin_is_refused(camera, page):
    daemon = camera(origins=["http://console.test"])
    seen = browse(page, daemon.live(), 1)
    assert seen["errors"] and seen["decoded"] == 0, seen
    assert daemon.metric("peercam_live_source_frames_total") == 0, "no camera was started"


@pytest.mark.parametrize("access", ["open", "token"])
def test_web_pages_cannot_use_the_device(camera, page, access):
    """Pages on another port and on another site, by every means of the web."""
    daemon = camera(text='[[listen]]\naddr = "127.0.0.1:0"\naccess = "token"\n')
    device = daemon.base if access == "open" else "http://" + daemon.token
    seen = chromium("hostile.mjs", device, f"{page}/player.html",
                    f"{page.replace('127.0.0.1', 'localhost')}/player.html")
    assert min(seen["attempts"]) >= 30, seen
    refused = {"403"} if access == "open" else {"401"}
    # A request that asks first (CORS) is refused with the question.
    assert seen["statuses"] and set(seen["statuses"]) <= refused | {"405", "200"}, seen
    if access == "open":
        assert "200" not in seen["statuses"], seen
        assert "405" not in seen["statuses"], seen
    else:
        assert seen["statuses"].get("200", 0) <= 8, "nothing but healthz, which says ok"
    assert daemon.metric("peercam_live_source_frames_total") == 0, "a camera was started"
    for route in ("ipc.flv", "command"):
        assert daemon.metric(f'peercam_http_requests_total{{route="{route}",status="200"}}') == 0


# Placeholder hosts of apps are names like any other to a resolver; some ask it for these as well.
REBOUND = ["ipc.p2p.com", "evil.xnet", "evil.localhost"]


def rebind(base):
    """What pages that were rebound to this server could read."""
    return chromium("rebind.mjs", str(urllib.parse.urlsplit(base).port), *REBOUND)


def nothing_was_read(seen):
    assert set(seen) == set(REBOUND)
    for name, answers in seen.items():
        assert len(answers) >= 12
        for asked, (status, text) in answers.items():
            assert status == 403, (name, asked, status, text)
            # The refusal itself.
            assert not text or json.loads(text)["status"] == "1", (name, asked, text)


@pytest.mark.parametrize("placeholder_hosts", ["false", "true"])
def test_a_page_whose_name_comes_to_point_here_reads_nothing(camera, placeholder_hosts):
    daemon = camera(listen=f"allow_placeholder_hosts = {placeholder_hosts}")
    nothing_was_read(rebind(daemon.base))
    assert daemon.metric("peercam_live_source_frames_total") == 0, "a camera was started"
    assert daemon.metric('peercam_http_requests_total{route="ipc.flv",status="200"}') == 0
