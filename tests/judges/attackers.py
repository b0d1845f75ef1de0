"""Strangers, guests and programs that do what they should not, each at a stated rate: attackers.py WHAT SECONDS URI PLACE

Run as a process of its own, so that it can be given a processor of its own. Loopback only; ends by itself, and prints how
often the device took part: an attack that never reached it proves nothing.
"""

import contextlib
import hashlib
import itertools
import socket
import sys
import time

import viewer


def paced(rate, seconds):
    """Counts up, so often a second, for so long."""
    began = time.monotonic()
    for number in itertools.count():
        due = began + number / rate
        if due >= began + seconds:
            return
        time.sleep(max(0, due - time.monotonic()))
        yield number


def upload(uri, place, query):
    """The way into a sealed body of /voice: what is put there is sent on."""
    speaker = viewer.Viewer(uri, place)
    with contextlib.suppress(viewer.Unproven):
        speaker.exchange("GET", "/")
    (b, d), u = speaker.challenge, speaker.secret.public_key().public_bytes_raw()
    target = f"/voice?channel=0{query}"
    c = speaker.credential.canonical(b, d, u, 1, "POST", target, "records", "")
    keys = speaker.credential.okm(hashlib.sha256(c).digest(), speaker.secret, d)
    records, path = viewer.Records(keys[:48]), target.replace("?", f"?_token={speaker.credential.token(c)}&")
    speaker.socket.sendall(f"POST {path} HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    numbers = itertools.count()

    def put(data, kind=viewer.DATA):
        record = records.seal_record(next(numbers), kind, data)
        speaker.socket.sendall(b"%x\r\n" % len(record) + record + b"\r\n")
    return speaker, put


REACHED = [0]


def reached():
    """The device has taken what was sent, or has answered."""
    REACHED[0] += 1


HEADS = [
    b"RIFF\xff\xff\xff\x7fWAVEfmt \x00\xff\xff\x7f",
    b"RIFF\xff\xff\xff\x7fWAVELIST\x00\xff\xff\x7f",
    b"FLV\1\4\0\0\0\x09\0\0\0\0\x08\xff\xff\xff\0\0\0\0\0\0\0\xaf\1",
    b"\xff\xf1\x50\x80\xff\xff\xfc",
]


def heads(seconds, uri, place):
    """4 MB/s into /voice behind a container's head that never ends, one after the other."""
    for number in paced(1, seconds):
        with contextlib.suppress(OSError, viewer.Broken, viewer.Unproven, TypeError):
            speaker, put = upload(uri, place, "")
            put(HEADS[number % len(HEADS)])
            reached()
            for _ in range(250):
                put(bytes(16384))
            speaker.socket.close()


def talks(seconds, uri, place):
    """40 short talks a second, one behind the other."""
    speaker = None
    for _ in paced(40, seconds):
        try:
            speaker = speaker or viewer.Viewer(uri, place)
            speaker.request("POST", "/voice?channel=0&sample_rate=8000", bytes(320)).read()
            reached()
        except (OSError, viewer.Broken, viewer.Unproven, AttributeError, TypeError):
            speaker = None


def challenges(seconds, _, place):
    """200 connections a second from 200 addresses that ask for a challenge and say no more."""
    held = []
    for number in paced(200, seconds):
        with contextlib.suppress(OSError):
            stranger = socket.socket()
            stranger.settimeout(2)
            held.append(stranger)
            stranger.bind((f"127.0.{number // 100 % 2 + 7}.{number % 100 + 1}", 0))
            stranger.connect(place)
            stranger.sendall(b"GET / HTTP/1.1\r\nHost: d\r\n\r\n")
            stranger.recv(600).startswith(b"HTTP/1.1 401") and reached()
        while len(held) > 100:
            held.pop(0).close()


def stalled(seconds, uri, place):
    """Streams and playbacks that are begun and not read, four at a time, new ones each second."""
    held = []
    for number in paced(4, seconds):
        now = int(time.time())
        targets = ["/ipc.flv?action=live&channel=0&quality=super",
                   f"/ipc.flv?action=playback&channel=0&start_time={now - 60}&end_time={now}"]
        with contextlib.suppress(OSError, viewer.Broken, viewer.Unproven, TypeError, StopIteration):
            guest = viewer.Viewer(uri, place)
            guest.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            held.append(guest)
            guest.request("GET", targets[number % 2])
            reached()
        while len(held) > 4:
            held.pop(0).socket.close()


def commands(seconds, uri, place):
    """200 commands a second, lists and bodies that are none among them."""
    guest = None
    for number in paced(200, seconds):
        now = int(time.time())
        bodies = [b"action=inner_define&channel=0&cmd=get_file_list",
                  b"action=inner_define&channel=0&cmd=get_record_index&start_time=0&end_time=%d" % now,
                  b"action=user_define&channel=0&cmd=" + b"[" * 8000,
                  b"x" * 20000]
        try:
            guest = guest or viewer.Viewer(uri, place)
            guest.request("POST", "/command", bodies[number % len(bodies)]).read()
            reached()
        except (OSError, viewer.Broken, viewer.Unproven, TypeError, StopIteration):
            guest = None


def polls(seconds, _, place):
    """100 long polls of a program on the device, and heads without an end."""
    held = []
    for number in paced(20, seconds):
        with contextlib.suppress(OSError):
            program = socket.create_connection(place, 2)
            held.append(program)
            program.sendall(b"GET /call?wait=30 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" if number % 2
                            else b"GET /" + b"a" * 30000)
            reached()
        while len(held) > 100:
            held.pop(0).close()


if __name__ == "__main__":
    what, length, uri, address = sys.argv[1:5]
    host, _, port = address.rpartition(":")
    globals()[what](float(length), uri, (host, int(port)))
    print(REACHED[0])
