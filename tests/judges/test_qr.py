"""QR codes of pairing URIs, in files and on terminals, to a reader of bar codes."""

import fcntl
import os
import pty
import stat
import struct
import subprocess
import termios

import numpy
import pytest
import zxingcpp

from conftest import PROGRAM, tool


def read(image):
    """What a reader of bar codes reads in a gray image."""
    found = zxingcpp.read_barcodes(numpy.ascontiguousarray(image))
    assert [code.format for code in found] == [zxingcpp.BarcodeFormat.QRCode]
    return found[0].text


def gray(path):
    """The pixels of a picture, which may be dark where it is transparent."""
    header = tool("ffprobe", "-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", path)
    width, height = map(int, header.decode().strip().split(","))
    pixels = tool("ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-")
    return numpy.frombuffer(pixels, numpy.uint8).reshape(height, width)


@pytest.fixture
def pair(tmp_path):
    """Arguments that pair with a device which viewers find so."""
    def arguments(p2p=""):
        path = tmp_path / "camera.toml"
        path.write_text(f'''
[[channel]]
id = 0
name = "front"
source = {{ kind = "sim" }}
[p2p]
{p2p}
''')
        return [PROGRAM, "pair", "-c", path]
    return arguments


@pytest.mark.parametrize("name", ["phone.png", "phone.svg"])
def test_a_qr_code_in_a_file(pair, tmp_path, name):
    command = [*pair(), "--qr", tmp_path / name]
    uri = subprocess.run([*command, "phone"], check=True, capture_output=True, text=True).stdout.strip()
    assert read(gray(tmp_path / name)) == uri
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    # A file that is there stays, and nobody is paired for nothing.
    before = (tmp_path / name).read_bytes()
    refused = subprocess.run([*command, "tablet"], capture_output=True, text=True)
    assert refused.returncode == 1 and name in refused.stderr and refused.stdout == ""
    assert (tmp_path / name).read_bytes() == before
    assert "tablet" not in tool(*command[:-2], "--list").decode()


def on_a_terminal(command, columns, lines):
    """What a program writes on a terminal of this size."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=subprocess.PIPE) as running:
        os.close(its)
        written = b""
        try:
            while some := os.read(ours, 1 << 16):
                written += some
        except OSError:
            pass  # It has closed the terminal.
        errors = running.stderr.read()
    os.close(ours)
    assert running.returncode == 0
    return written.decode().replace("\r\n", "\n"), errors.decode()


def pixels(line, columns):
    """Two rows of modules, in the colors of a dark terminal."""
    halves = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    return numpy.array([halves[c] for c in line.ljust(columns)]).T


RELAY = 'relays = ["https://relay.example.com/"]'
HINTS = {
    "address": "",
    "relay": RELAY,
    "relay with a token": f'{RELAY}\nrelay_token = "{"0123456789abcdef" * 4}"',
}


@pytest.mark.parametrize("hints", HINTS)
def test_a_qr_code_on_a_dark_terminal(pair, hints):
    text, errors = on_a_terminal([*pair(HINTS[hints]), "phone"], 80, 60)
    uri, drawing = text.split("\n\n")
    assert "QR" not in errors
    lines = drawing.splitlines()
    # It begins at the left edge of the window; the rest is dark.
    rows = numpy.vstack([pixels(line, 80) for line in ["", *lines, ""]])
    assert rows.shape[1] == 80
    assert read(numpy.kron(rows * 255, numpy.ones((8, 8))).astype(numpy.uint8)) == uri.replace("\n", "")


def test_a_terminal_that_is_too_small(pair):
    text, errors = on_a_terminal([*pair(), "phone"], 80, 24)
    assert "█" in text and "--qr" in errors
    text, errors = on_a_terminal([*pair(), "tablet"], 40, 24)
    assert "█" not in text and "--qr" in errors
