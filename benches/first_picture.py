"""How long players take to their first picture, from the start of the program, and which codecs they play.

    cargo build --profile dist; python3 benches/first_picture.py [PROGRAM [STREAM…]]

The lines are those of docs/players.md. A player that is not installed is left out: ffmpeg, mpv, vlc-bin
with vlc-plugin-base, gstreamer1.0-tools with gstreamer1.0-plugins-good and -libav (Debian packages); Chromium as
tests/run installs it, with PEERCAM_NODE_MODULES; PyAV in
the Python that runs this, which has an FFmpeg of its own. All of them decode; none draws.
"""

import contextlib
import functools
import importlib.util
import http.server
import json
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "target/dist/peercam"
TIMES, PATIENCE = 5, 10
HEADLESS = os.environ | {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "HOME": tempfile.gettempdir()}
# What is played, and the channel that has it. H.265 comes in both forms.
STREAMS = {"H.264 + AAC": 0, "H.264 + silence": 4, "H.264 + G.711": 1, "H.264 alone": 2, "H.265, legacy": 3, "H.265, hvc1": 3}

# Name, line, what its log says at the first picture (nothing: that it ends), what makes it say so.
PLAYERS = [
    ("ffplay", "ffplay -fpsprobesize 0 -analyzeduration 500000 'URL'", "Video frame changed from size", "-v debug"),
    ("ffplay, no options", "ffplay 'URL'", "Video frame changed from size", "-v debug"),
    ("ffplay, nobuffer", "ffplay -fflags nobuffer 'URL'", "Video frame changed from size", "-v debug"),
    ("mpv", "mpv --profile=low-latency --demuxer-lavf-o=fpsprobesize=0 'URL'", "playback restart complete", "-v --vo=null --ao=null"),
    ("mpv, low-latency", "mpv --profile=low-latency 'URL'", "playback restart complete", "-v --vo=null --ao=null"),
    ("mpv, no options", "mpv 'URL'", "playback restart complete", "-v --vo=null --ao=null"),
    ("VLC", "vlc 'URL'", "Received first picture", "-vv --intf dummy --vout dummy --aout dummy"),
    ("GStreamer", "gst-launch-1.0 souphttpsrc location='URL' ! flvdemux ! h264parse ! avdec_h264 ! videoconvert ! autovideosink",
     None, None),
]


@contextlib.contextmanager
def camera(directory, hevc):
    config = directory / f"{hevc}.toml"
    channels = [('{ kind = "sim" }', "pass"), ('{ kind = "sim", audio = "pcma" }', "pass"), ('{ kind = "sim" }', "off"),
                ('{ kind = "file", path = "hevc.mp4" }', "pass"), ('{ kind = "sim", audio = "none" }', "silence")]
    tables = "".join(f'[[channel]]\nid = {id}\naudio = "{audio}"\nsource = {source}\n' for id, (source, audio) in enumerate(channels))
    config.write_text(f"""
data_dir = "data-{hevc}"
[[listen]]
addr = "127.0.0.1:0"
allow_origins = ["{ORIGIN}"]
[p2p]
enabled = false
[live]
hevc = "{hevc}"
{tables}""")
    process = subprocess.Popen([PROGRAM, "--log", "warn", "--config", config], stdout=subprocess.PIPE, text=True)
    base = process.stdout.readline().split()[-1]
    yield lambda channel: f"{base}/ipc.flv?action=live&channel={channel}&quality=super"
    process.terminate()
    process.wait(10)


def first(line, sign, extra, url):
    """Seconds until the sign; None if it does not come."""
    line = line.replace("URL", url)
    if sign is None:
        # A player that is told to stop behind its first picture.
        line = line.replace("autovideosink", "fakesink num-buffers=1")
    # VLC refuses to be root.
    user = "nobody" if os.geteuid() == 0 and line.startswith("vlc") else None
    began = time.monotonic()
    player = subprocess.Popen(shlex.split(line) + shlex.split(extra or ""), env=HEADLESS, user=user, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
    timer = threading.Timer(PATIENCE, player.kill)
    timer.start()
    try:
        for said in player.stdout:
            if sign and sign in said:
                return time.monotonic() - began
        return time.monotonic() - began if sign is None and player.wait() == 0 else None
    finally:
        timer.cancel()
        player.kill()
        player.wait()


class Page(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path):
        if path.endswith("mpegts.js"):
            return str(pathlib.Path(os.environ["PEERCAM_NODE_MODULES"]) / "mpegts.js/dist/mpegts.js")
        return super().translate_path(path)

    def log_message(self, *arguments):
        pass


def in_browser(url):
    """Seconds from the making of the player in a page that is there; None if there is no picture."""
    done = subprocess.run(["node", str(ROOT / "tests/judges/browser.mjs"), f"{ORIGIN}/player.html", url, "3"],
                          capture_output=True, text=True, env=os.environ | {"NODE_PATH": os.environ["PEERCAM_NODE_MODULES"]})
    seen = json.loads(done.stdout) if done.returncode == 0 else {}
    return seen["first_ms"] / 1000 if seen.get("first_ms") else None


def in_pyav(url):
    """Seconds from opening; None if there is no picture."""
    import av
    began = time.monotonic()
    with contextlib.suppress(av.FFmpegError, StopIteration):
        with av.open(url, options={"fpsprobesize": "0", "analyzeduration": "500000"}, timeout=PATIENCE) as opened:
            next(opened.decode(video=0))
            return time.monotonic() - began
    return None


def row(name, times):
    times = [one for one in times if one is not None]
    shown = f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})" if times else "no picture"
    print(f"{name:<22}{shown}", flush=True)


pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Page, directory=str(ROOT / "tests/judges")))
threading.Thread(target=pages.serve_forever, daemon=True).start()
ORIGIN = f"http://127.0.0.1:{pages.server_address[1]}"

with tempfile.TemporaryDirectory() as directory:
    directory = pathlib.Path(directory)
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=8", "-f", "lavfi", "-i", "sine=r=16000:d=8",
                    "-c:v", "libx265", "-x265-params", "log-level=error:keyint=50:bframes=0", "-tag:v", "hvc1", "-c:a", "aac", directory / "hevc.mp4"], check=True)
    with camera(directory, "legacy") as legacy, camera(directory, "hvc1") as hvc1:
        # Somebody watches, so that the first picture is there.
        watching = [subprocess.Popen(["curl", "-s", "-o", "/dev/null", of(channel)]) for of in (legacy, hvc1) for channel in sorted(set(STREAMS.values()))]
        time.sleep(3)
        for stream in sys.argv[2:] or STREAMS:
            channel = STREAMS[stream]
            url = (hvc1 if stream.endswith("hvc1") else legacy)(channel)
            print(f"\n{stream}")
            for name, line, sign, extra in PLAYERS:
                if shutil.which(shlex.split(line)[0]):
                    plays = first(line, sign, extra, url)
                    times = [first(line, sign, extra, url) for _ in range(TIMES)] if plays else []
                    row(name, times)
            if importlib.util.find_spec("av"):
                row("PyAV", [in_pyav(url) for _ in range(TIMES)])
            if "PEERCAM_NODE_MODULES" in os.environ:
                row("Chromium, mpegts.js", [in_browser(url) for _ in range(3)])
        for one in watching:
            one.kill()
