#!/usr/bin/env python3
"""What real cameras cost: latency added, processor time and memory, beside a file played by the same program.

    cargo build --profile dist && python3 benches/sources.py

Each source delivers 25 pictures a second at 2 Mbit/s. Latency: from before a picture is written (to the RTSP connection, or
to the socket) until the viewer has its last byte. Processor time and memory: 16 channels with a viewer each.
"""

import os
import pathlib
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "target/dist/peercam"
SPS = bytes.fromhex("6764000dacd94141fb011000000300100000030320f1429960")
PPS = bytes.fromhex("68ebe3cb22c0")
RATE, BITS, GOP = 25, 2_000_000, 25
SIZE = BITS // 8 // RATE
CHANNELS, SECONDS, SAMPLES = 16, 10, 250
FILLER = os.urandom(SIZE).replace(b"\0", b"\1")


def picture(number):
    """A NAL unit that begins a picture and can be found again: its number is at its end."""
    head = b"\x65\x88" if number % GOP == 0 else b"\x41\x9a"
    return head + FILLER[:SIZE - 14] + b"#" + struct.pack(">I", number).hex().encode() + b"\x80"


def mark(number):
    return b"#" + struct.pack(">I", number).hex().encode()


class Rtsp:
    """As many cameras as connect, in one process; each connection gets every picture."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.viewers, self.sequence = [], 0
        threading.Thread(target=self.accept, daemon=True).start()

    def source(self, channel):
        return f'{{ kind = "rtsp", url = "rtsp://127.0.0.1:{self.listener.getsockname()[1]}/{channel}" }}'

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        lines = connection.makefile("r", newline="\r\n")
        while request := lines.readline():
            headers = {}
            while line := lines.readline().strip():
                name, value = line.split(": ", 1)
                headers[name] = value
            body, more = "", f"CSeq: {headers['CSeq']}\r\nSession: 1\r\n"
            if request.startswith("DESCRIBE"):
                body = ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
                        "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:v\r\n")
                more += "Content-Type: application/sdp\r\n"
            if request.startswith("SETUP"):
                more += f"Transport: {headers['Transport']}\r\n"
            connection.sendall(f"RTSP/1.0 200 OK\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            if request.startswith("PLAY"):
                self.viewers.append(connection)

    def packets(self, number):
        units = [SPS, PPS] if number % GOP == 0 else []
        unit, out = picture(number), []
        for small in units:
            out.append((small, False))
        pieces = [unit[1:][at:at + 1400] for at in range(0, len(unit) - 1, 1400)]
        for index, piece in enumerate(pieces):
            last = index + 1 == len(pieces)
            head = (index == 0) << 7 | last << 6 | unit[0] & 31
            out.append((bytes([unit[0] & 0xe0 | 28, head]) + piece, last))
        stamp, framed = number * 90_000 // RATE & 0xffffffff, b""
        for payload, last in out:
            self.sequence = self.sequence + 1 & 0xffff
            rtp = struct.pack(">BBHII", 0x80, last << 7 | 96, self.sequence, stamp, 1) + payload
            framed += struct.pack(">BBH", 36, 0, len(rtp)) + rtp
        return framed

    def send(self, number):
        data = self.packets(number)
        for viewer in list(self.viewers):
            try:
                viewer.sendall(data)
            except OSError:
                self.viewers.remove(viewer)


class Firmware:
    """One firmware with all channels."""

    def __init__(self, directory):
        self.path, self.connection, self.channels = directory / "camera.sock", None, 0

    def source(self, channel):
        self.channels = max(self.channels, channel + 1)
        return '{ kind = "socket", path = "camera.sock" }'

    def message(self, kind, channel, body):
        return struct.pack("<IBBH", len(body), kind, 1, channel) + body

    def send(self, number):
        if self.connection is None:
            self.connection = socket.socket(socket.AF_UNIX)
            self.connection.connect(str(self.path))
            self.connection.sendall(self.message(1, 0, b"PCAM\1\0bench"))
            for channel in range(self.channels):
                self.connection.sendall(self.message(2, channel, struct.pack("<BBBBII", 1, 0, 0, 0, 0, RATE * 1000)))
        units = ([SPS, PPS] if number % GOP == 0 else []) + [picture(number)]
        data = b"".join(struct.pack(">I", len(unit)) + unit for unit in units)
        head = struct.pack("<qiI", number * 1_000_000 // RATE, 0, 1)
        for channel in range(self.channels):
            self.connection.sendall(self.message(3, channel, head + data))
        while select.select([self.connection], [], [], 0)[0]:
            self.connection.recv(1 << 16)


class File:
    """The same pictures in a file that loops."""

    def __init__(self, directory):
        def tag(stamp, body):
            head = bytes([9]) + len(body).to_bytes(3, "big") + stamp.to_bytes(3, "big") + bytes(4)
            return head + body + (11 + len(body)).to_bytes(4, "big")

        config = (bytes([1, 0x64, 0, 0x0d, 0xff, 0xe1]) + len(SPS).to_bytes(2, "big") + SPS + b"\1"
                  + len(PPS).to_bytes(2, "big") + PPS + b"\xfd\xf8\xf8\0")
        out = b"FLV\1\1" + (9).to_bytes(4, "big") + bytes(4) + tag(0, b"\x17\0\0\0\0" + config)
        for number in range(250):
            unit = picture(number)
            kind = b"\x17" if number % GOP == 0 else b"\x27"
            out += tag(number * 1000 // RATE, kind + b"\1\0\0\0" + len(unit).to_bytes(4, "big") + unit)
        (directory / "clip.flv").write_bytes(out)

    def source(self, _channel):
        return '{ kind = "file", path = "clip.flv" }'

    def send(self, _number):
        """It plays by itself."""


class Daemon:
    def __init__(self, directory, sender, channels):
        text = '[[listen]]\naddr = "127.0.0.1:0"\n[p2p]\nenabled = false\n'
        for channel in range(channels):
            text += f"[[channel]]\nid = {channel}\nsource = {sender.source(channel)}\n"
        (directory / "camera.toml").write_text(text)
        self.process = subprocess.Popen([PROGRAM, "--config", directory / "camera.toml", "--log", "warn"],
                                        stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().split("http://")[1].strip().split(":")

    def view(self, channel):
        connection = socket.create_connection((self.address[0], int(self.address[1])))
        connection.sendall(f"GET /ipc.flv?action=live&channel={channel}&quality=high HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return connection

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Pace(threading.Thread):
    """Sends pictures at their time, and notes when."""

    def __init__(self, sender):
        super().__init__(daemon=True)
        self.sender, self.sent, self.stopped = sender, {}, False
        self.start()

    def run(self):
        began, number = time.monotonic(), 0
        while not self.stopped:
            time.sleep(max(0, began + number / RATE - time.monotonic()))
            self.sent[number] = time.monotonic()
            self.sender.send(number)
            number += 1

    def stop(self):
        self.stopped = True
        self.join()


def latency(make):
    """Milliseconds from a picture's write to the viewer's last byte of it."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        sender = make(directory)
        daemon = Daemon(directory, sender, 1)
        pace = Pace(sender)
        time.sleep(1)
        viewer, data, found = daemon.view(0), b"", []
        number = None
        while len(found) < SAMPLES:
            data += viewer.recv(1 << 16)
            now = time.monotonic()
            if number is None:
                at = data.rfind(b"#")
                if at < 0 or len(data) < at + 9:
                    continue
                number = int(bytes.fromhex(data[at + 1:at + 9].decode()).hex(), 16) + 5
            while (at := data.find(mark(number))) >= 0:
                found.append((now - pace.sent[number]) * 1000)
                data, number = data[at:], number + 1
        pace.stop()
        daemon.stop()
    return sorted(found)


def load(make):
    """Processor seconds for each Mbit/s and second, and KiB of memory, of 16 channels with a viewer each."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        sender = make(directory)
        daemon = Daemon(directory, sender, CHANNELS)
        pace = Pace(sender)
        time.sleep(1)
        viewers = [daemon.view(channel) for channel in range(CHANNELS)]
        stop, received = threading.Event(), [0]

        def drain():
            while not stop.is_set():
                for viewer in select.select(viewers, [], [], 0.1)[0]:
                    received[0] += len(viewer.recv(1 << 18))

        thread = threading.Thread(target=drain)
        thread.start()
        time.sleep(3)
        cpu, before, began = daemon.cpu(), received[0], time.monotonic()
        time.sleep(SECONDS)
        cpu, seconds = daemon.cpu() - cpu, time.monotonic() - began
        bits = (received[0] - before) * 8 / seconds
        resident = daemon.resident()
        stop.set()
        thread.join()
        pace.stop()
        daemon.stop()
    return cpu / seconds / (bits / 1e6), resident, bits


def main():
    if not PROGRAM.exists():
        sys.exit("cargo build --profile dist comes first")
    makers = {"file": File, "rtsp": lambda _directory: Rtsp(), "socket": Firmware}
    for kind in ("rtsp", "socket"):
        found = latency(makers[kind])
        print(f"{kind:7} latency p50 {statistics.median(found):.2f} ms, p99 {found[len(found) * 99 // 100]:.2f} ms")
    base = None
    for kind, make in makers.items():
        cpu, resident, bits = load(make)
        base = base or cpu
        print(f"{kind:7} {bits / 1e6:.1f} Mbit/s in all: {cpu * 1e6:.0f} µs of processor time a second for each Mbit/s "
              f"({cpu / base:.2f} of file), {resident / 1024:.1f} MiB resident, {resident / 1024 / CHANNELS:.2f} a channel")


main()
