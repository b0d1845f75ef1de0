"""Chromium with mpegts.js plays the live stream; a page of another origin does not."""

import functools
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import threading

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


def browse(page, stream, pictures):
    """What the player saw, as browser.mjs tells it."""
    assert shutil.which("chromium") and shutil.which("node"), "run tests/run"
    done = subprocess.run(
        ["node", str(HERE / "browser.mjs"), f"{page}/player.html", stream, str(pictures)],
        capture_output=True, text=True, timeout=120, env=os.environ | {"NODE_PATH": str(MODULES)})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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
