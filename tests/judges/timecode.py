"""Reads the simulated camera's time code out of decoded pictures: see docs/simulated-camera.md."""

import time

import numpy

from conftest import tool

BITS, SQUARE = 40, 16


def crc8(number):
    crc = 0
    for byte in number.to_bytes(4, "big"):
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (7 if crc & 0x80 else 0)) & 0xFF
    return crc


def read_row(luma, row):
    """The number in one row of squares; None if its check sum is wrong."""
    y = row * SQUARE + SQUARE // 2
    squares = luma[y, SQUARE // 2:BITS * SQUARE:SQUARE] > 128
    code = int("".join("1" if square else "0" for square in squares), 2)
    number = code >> 8
    return number if crc8(number) == code & 0xFF else None


def wall(code):
    """The moment near now that a clock modulo 2^32 ms shows, in ms since 1970."""
    now = time.time_ns() // 1_000_000
    return now + (code - now + 2**31) % 2**32 - 2**31


def pictures(media, container="flv"):
    """(frame number, capture time in ms since 1970) of every decoded picture, in display order."""
    # G.711 names no layout of channels.
    raw = tool("ffmpeg", "-v", "warning", "-xerror", "-guess_layout_max", "0", "-f", container, "-i", "-", "-map", "0:v",
               "-fps_mode", "passthrough", "-enc_time_base", "1:1000", "-vf", f"crop={BITS * SQUARE}:{2 * SQUARE}:0:0",
               "-pix_fmt", "gray", "-f", "rawvideo", "-", data=media)
    frames = numpy.frombuffer(raw, numpy.uint8).reshape(-1, 2 * SQUARE, BITS * SQUARE)
    found = [(read_row(frame, 0), read_row(frame, 1)) for frame in frames]
    assert all(None not in pair for pair in found), "a time code that cannot be read"
    return [(number, wall(code)) for number, code in found]
