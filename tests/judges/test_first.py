"""A player's first picture, with the line that the daemon prints."""

import os
import shlex
import statistics
import subprocess
import threading

import pytest

HEADLESS = os.environ | {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
# What the camera makes in 0.6 s: 25 pictures and 15.6 blocks of sound in a second.
MOST = 24


def frames_until_the_first_picture(daemon, line):
    """How much the daemon has sent when ffplay has decoded its first picture: the camera's pace is the clock, and
    the start of the program does not count."""
    player = subprocess.Popen(shlex.split(line) + ["-v", "debug"], env=HEADLESS, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    timer = threading.Timer(20, player.kill)
    timer.start()
    before = daemon.metric("peercam_live_sent_frames_total")
    try:
        shown = any("Video frame changed from size" in said for said in player.stderr)
        assert shown, "no picture within 20 s"
        return daemon.metric("peercam_live_sent_frames_total") - before
    finally:
        timer.cancel()
        player.kill()
        player.wait()


@pytest.mark.alone
def test_the_printed_line_shows_a_picture_at_once(camera):
    daemon = camera()
    line = next(line for line in daemon.process.stdout if "ffplay" in line)
    assert daemon.base in line
    # A busy machine may be slow once; what is slow two times in three is slow.
    counts = [frames_until_the_first_picture(daemon, line) for _ in range(3)]
    assert statistics.median(counts) <= MOST, f"{counts} frames were sent until the first picture"
