"""From a request for a moment to its picture, on a card with 30 days of a file a minute, beside nginx's first byte of a range.

    cargo build --profile dist; python3 benches/seek.py [PROGRAM]

Records a minute first. Needs nginx (Debian package).
"""

import contextlib
import http.client
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

from download import nginx

DAYS, MINUTE, TIMES = 30, 60_000, 300
START = 1_790_812_800_000
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "target/dist/peercam"


@contextlib.contextmanager
def peercam(directory, mode):
    config = directory / f"{mode}.toml"
    config.write_text(f"""
data_dir = "{directory}/data"
[[listen]]
addr = "127.0.0.1:0"
[p2p]
enabled = false
[record]
mode = "{mode}"
path = "{directory}/{'new' if mode == 'always' else 'card'}"
max_size = "1024GiB"
segment = "1m"
quality = "super"
[[channel]]
id = 0
source = {{ kind = "sim", gop = 50 }}
""")
    began = time.monotonic()
    process = subprocess.Popen([PROGRAM, "--log", "warn", "--config", config], stdout=subprocess.PIPE, text=True)
    base = process.stdout.readline().split()[-1]
    yield urllib.parse.urlsplit(base).netloc, began
    process.terminate()
    process.wait(10)


def first(host, target, bytes_until, headers={}):
    """ms from a request on a new connection until the first bytes that count."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("GET", target, headers=headers)
    answer = connection.getresponse()
    assert answer.status in (200, 206), answer.status
    taken = b""
    while not bytes_until(taken):
        taken += answer.read1(65536)
    took = time.monotonic() - began
    connection.close()
    return took * 1000


def has_picture(data):
    """Whether the first picture has begun: a video tag behind the configurations."""
    at = 13
    while at + 13 <= len(data):
        if data[at] == 9 and data[at + 12] == 1:
            return True
        at += 15 + int.from_bytes(data[at + 1:at + 4])
    return False


def recorded_minute(directory):
    with peercam(directory, "always"):
        while True:
            time.sleep(1)
            for file in pathlib.Path(directory, "new").glob("ch0/*/*_*_*_*.mp4"):
                if int(file.name.split("_")[1]) > 50_000:
                    return file


def told(what, times):
    times = sorted(times)
    print(f"{what:24} p50 {statistics.median(times):.2f} ms, p99 {times[len(times) * 99 // 100]:.2f} ms")
    return statistics.median(times)


def main():
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = pathlib.Path(name)
        file = recorded_minute(directory)
        length, size = int(file.name.split("_")[1]), file.stat().st_size
        shutil.copyfile(file, directory / "file")
        rng = random.Random(1)
        seconds = [rng.randrange(START // 1000, START // 1000 + DAYS * 86400 - 60) for _ in range(TIMES)]
        asked = {at * 1000 // MINUTE for at in seconds}
        for start in range(START, START + DAYS * 1440 * MINUTE, MINUTE):
            day = directory / "card/ch0" / time.strftime("%Y-%m-%d", time.gmtime(start / 1000))
            day.mkdir(parents=True, exist_ok=True)
            path = day / f"{start}_{min(length, MINUTE)}_0_{size}.mp4"
            # What nobody asks for has a size alone. A file with two names is none of a card's.
            if start // MINUTE in asked:
                shutil.copyfile(file, path)
            else:
                path.touch()
                os.truncate(path, size)
        host, _ = stack.enter_context(peercam(directory, "off"))
        other = urllib.parse.urlsplit(stack.enter_context(nginx(directory, "off", 18081))[0])
        play = [first(host, f"/ipc.flv?action=playback&start_time={at}&end_time={at + 60}", has_picture) for at in seconds]
        offsets = [rng.randrange(size - 200_000) for _ in range(TIMES)]
        ranged = [first(other.netloc, other.path, bool, {"Range": f"bytes={at}-{at + 100_000}"}) for at in offsets]
        print(f"{DAYS * 1440} files of {size / 1e6:.1f} MB")
        ratio = told("playback, first picture", play) / told("nginx, first byte", ranged)
        print(f"{ratio:.1f} times nginx")


main()
