"""From starting the program to the first byte of an HTTP answer, and what it holds when idle.

    python3 benches/start.py [PROGRAM [SOURCE]]

SOURCE is a channel's source as in a configuration: a firmware build has no simulated camera.
"""

import socket
import statistics
import subprocess
import sys
import tempfile
import time

program = sys.argv[1] if len(sys.argv) > 1 else "target/dist/peercam"
source = sys.argv[2] if len(sys.argv) > 2 else '{ kind = "sim" }'
data = tempfile.TemporaryDirectory()
config = tempfile.NamedTemporaryFile("w", suffix=".toml")
config.write(f'data_dir = "{data.name}/data"\n' '[p2p]\nenabled = false\n[[listen]]\naddr = "127.0.0.1:0"\n[[channel]]\nid = 0\n' f'source = {source}\n')
config.flush()

millis, resident = [], []
for _ in range(20):
    start = time.perf_counter()
    daemon = subprocess.Popen([program, "--config", config.name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    port = int(daemon.stdout.readline().decode().rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert stream.recv(1) == b"H"
    millis.append((time.perf_counter() - start) * 1000)
    status = open(f"/proc/{daemon.pid}/status").read()
    resident.append(int(status.split("VmRSS:")[1].split()[0]))
    daemon.kill()
    daemon.wait()
print(f"first byte after {statistics.median(millis):.1f} ms (median; {min(millis):.1f} to {max(millis):.1f})")
print(f"resident when idle: {statistics.median(resident) / 1024:.1f} MiB")
