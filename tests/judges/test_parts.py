"""Pictures that `cargo test` left behind: a still, and a stream while the camera was panning."""

import numpy
import pytest

from conftest import ROOT, tool
import timecode

ARTEFACTS = ROOT / "target/tmp"


def gray(path, width, height, *options, level="warning"):
    raw = tool("ffmpeg", "-v", level, "-xerror", *options, "-i", str(path), "-pix_fmt", "gray",
               "-f", "rawvideo", "-")
    return numpy.frombuffer(raw, numpy.uint8).reshape(-1, height, width)


@pytest.fixture(autouse=True)
def after_cargo_test():
    if not (ARTEFACTS / "still.jpg").exists():
        pytest.fail("run `cargo test` first, or tests/run")


def test_a_still_shows_the_time():
    # ffmpeg's scaler warns about every JPEG's range.
    (still,) = gray(ARTEFACTS / "still.jpg", 1280, 720, level="error")
    assert timecode.read_row(still, 0) is not None
    assert timecode.read_row(still, 1) is not None


def test_panning_moves_the_picture_to_the_left():
    pictures = gray(ARTEFACTS / "pan.h264", 640, 360, "-f", "h264")
    shift = int((ARTEFACTS / "pan.cells").read_text()) * 4
    assert shift >= 40
    # A line of the colour bars, clear of time code, clock and box.
    first, last = pictures[0][100], pictures[-1][100]
    assert not (first == last).all()
    assert (abs(last[:640 - shift].astype(int) - first[shift:]) <= 4).all(), shift
    numbers = [timecode.read_row(picture, 0) for picture in pictures]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
