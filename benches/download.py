"""Downloads beside nginx: 500 MB over 1 and 8 connections of loopback, server on one processor, curl on the other.

    cargo build --profile dist; python3 benches/download.py [PROGRAM]

Needs nginx and curl (Debian packages). Rounds alternate; ratios are of the same round.
"""

import contextlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SIZE, ROUNDS = 500_000_000, 5
START = 1_790_812_800_000
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "target/dist/peercam"


def cpu(pids):
    """Processor seconds of these processes so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    def of(pid):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / ticks
    return sum(of(pid) for pid in pids)


def children(pid):
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [int(child) for child in listed]


@contextlib.contextmanager
def peercam(directory):
    day = directory / "card/ch0/2026-10-01"
    day.mkdir(parents=True)
    file = day / f"{START}_60000_0_{SIZE}.mp4"
    # A file with two names is none of a card's.
    shutil.copyfile(directory / "file", file)
    (directory / "camera.toml").write_text(f"""
data_dir = "{directory}/data"
[[listen]]
addr = "127.0.0.1:0"
[p2p]
enabled = false
[record]
mode = "off"
path = "{directory}/card"
max_size = "1024GiB"
[[channel]]
id = 0
source = {{ kind = "sim" }}
""")
    process = subprocess.Popen(["taskset", "-c", "0", PROGRAM, "--log", "warn", "--config", directory / "camera.toml"], stdout=subprocess.PIPE, text=True)
    base = process.stdout.readline().split()[-1]
    time.sleep(0.5)
    yield f"{base}/ipc.flv?action=download&file_name=0-{START}.mp4&offset=0", [process.pid]
    process.terminate()
    process.wait(10)


@contextlib.contextmanager
def nginx(directory, sendfile, port):
    home = directory / f"nginx-{sendfile}"
    home.mkdir()
    (home / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
user root;
events {{}}
http {{
    access_log off; sendfile {sendfile};
    server {{ listen 127.0.0.1:{port}; root {directory}; }}
}}
""")
    process = subprocess.Popen(["taskset", "-c", "0", "nginx", "-p", home, "-c", home / "nginx.conf"], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    yield f"http://127.0.0.1:{port}/file", [process.pid, *children(process.pid)]
    process.terminate()
    process.wait(10)


def fetch(url, pids, connections):
    """(MB per second, processor seconds of the server for a GB)"""
    before, began = cpu(pids), time.monotonic()
    clients = [subprocess.Popen(["taskset", "-c", "1", "curl", "-sf", "-o", "/dev/null", url]) for _ in range(connections)]
    assert all(client.wait(120) == 0 for client in clients)
    took, total = time.monotonic() - began, SIZE * connections
    return total / took / 1e6, (cpu(pids) - before) / (total / 1e9)


def main():
    for program in ("nginx", "curl", "taskset"):
        assert shutil.which(program), f"{program} is not installed"
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = pathlib.Path(name)
        with open(directory / "file", "wb") as file:
            block = os.urandom(1 << 20)
            while (left := SIZE - file.tell()) > 0:
                file.write(block[:left])
        servers = {
            "nginx, sendfile off": stack.enter_context(nginx(directory, "off", 18081)),
            "nginx, sendfile on": stack.enter_context(nginx(directory, "on", 18082)),
            "peercam": stack.enter_context(peercam(directory)),
        }
        for connections in (1, 8):
            rounds = [{name: fetch(*server, connections) for name, server in servers.items()} for _ in range(ROUNDS)]
            for name in servers:
                speed = statistics.median(one[name][0] for one in rounds)
                cost = statistics.median(one[name][1] for one in rounds)
                ratio = statistics.median(one["peercam"][0] / one[name][0] for one in rounds)
                print(f"{connections} connections, {name:20} {speed:6.0f} MB/s  {cost:.2f} CPU-s/GB; peercam is {ratio:.2f} of it")


if __name__ == "__main__":
    main()
