"""How far the simulated microphone's beep, on every second of the wall clock, is off the clock in the pictures."""

import numpy

from conftest import tool

RATE, WINDOW = 16000, 80


def offs(media, container, wall_at_zero):
    """Of every beep: by how many ms it is late, where the pictures' clock stands at `wall_at_zero` ms at timestamp 0."""
    # G.711 names no layout of channels.
    pcm = numpy.frombuffer(tool(
        "ffmpeg", "-v", "warning", "-guess_layout_max", "0", "-f", container, "-i", "-", "-map", "0:a", "-af",
        "aresample=async=1:first_pts=0", "-ar", str(RATE), "-ac", "1", "-f", "s16le", "-", data=media), numpy.int16)
    loud = numpy.abs(pcm.astype(int)) > 3000
    envelope = loud[:len(loud) // WINDOW * WINDOW].reshape(-1, WINDOW).any(axis=1)
    onsets = [index for index in range(10, len(envelope))
              if envelope[index] and not envelope[index - 10:index].any()]
    walls = [wall_at_zero + onset * WINDOW * 1000 / RATE for onset in onsets]
    return [(wall + 500) % 1000 - 500 for wall in walls]
