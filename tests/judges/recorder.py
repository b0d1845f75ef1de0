"""Plays a URL into a file, and notes beside it when which part came: recorder.py URL FILE

Each line of FILE.times is a number of bytes and when that many were there, in seconds since 1970.
Needs nothing but Python, so that it can run anywhere in the lab.
"""

import sys
import time
import urllib.request

url, path = sys.argv[1:]
with urllib.request.urlopen(url, timeout=120) as answer, open(path, "wb", buffering=0) as file, \
        open(f"{path}.times", "w", buffering=1) as times:
    total = 0
    while piece := answer.read1(1 << 16):
        total += file.write(piece)
        times.write(f"{total} {time.time():.4f}\n")
