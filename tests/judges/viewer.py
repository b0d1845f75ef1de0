"""A viewer of a device's access protocol, written from docs/protocol.md and not from the daemon's code.

    python viewer.py @FILE pull SECONDS > out.flv
    python viewer.py @FILE command 'action=inner_define&cmd=get_nvr_list'
"""

import base64
import contextlib
import email
import hashlib
import hmac
import json
import re
import socket
import sys
import time
from collections import namedtuple
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

HEAD, DATA, LAST = 1, 2, 3
LARGEST = {HEAD: 1024, DATA: 16384, LAST: 16384}
SEALED = "application/vnd.peercam.records"
MintKey = namedtuple("MintKey", "issuer epoch device_id key")


class Broken(Exception):
    """An answer that was cut off or forged, or is none."""


class Unproven(Exception):
    """A 401: its head as it came, and its body."""
    head, body = property(lambda self: self.args[0]), property(lambda self: self.args[1])


def fail(error):
    raise error


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert b64(data) == text, f"not canonical: {text!r}"
    return data


class Credential(namedtuple("Credential", "text key device_id places", defaults=[()])):
    """The places are (address, port), from the hints of a pairing URI."""

    def expand(self, what, key=None, length=32):
        return HKDFExpand(SHA256(), length, b"peercam/1 " + what).derive(key or self.key)

    def canonical(self, b, d, u, n, method, target, body="none", span=""):
        """C over TCP; `target` is without the token, `span` is the value of Range."""
        return "\n".join(["peercam-token/1", "tcp", self.device_id.hex(), "-", b64(b), b64(d), b64(u),
                          str(n), method, target, span, body, self.text]).encode("latin-1")

    def token(self, c):
        u, n = c.decode("latin-1").split("\n")[6:8]
        return f"1.{self.text}.{n}.{u}.{b64(hmac.digest(self.expand(b'token'), c, 'sha256'))}"

    def okm(self, th, secret, d):
        """96 bytes: the first half is for the request's records, the second for the answer's."""
        try:
            shared = secret.exchange(X25519PublicKey.from_public_bytes(d))
        except ValueError as error:
            raise Broken("a shared secret of zeros") from error
        prk = hmac.digest(th, self.expand(b"session") + shared, "sha256")
        return self.expand(b"records", prk, 96)


def pairing(uri):
    assert uri.startswith("peercam:1?"), uri
    pairs = [pair.partition("=") for pair in uri[10:].split("&")]
    one = {name: unquote(value) for name, _, value in pairs}
    hints = [unquote(value).rpartition(":") for name, _, value in pairs if name == "lan"]
    places = [(address.strip("[]"), int(port)) for address, _, port in hints]
    return Credential(one["c"], unb64(one["k"]), bytes.fromhex(one["id"]), places)


def mint_key(text):
    found = re.fullmatch("peercam-mint:1[?]iss=(.+)&ep=([0-9]+)&id=([0-9a-f]{64})&k=(.{43})", text)
    return MintKey(found[1], int(found[2]), bytes.fromhex(found[3]), unb64(found[4]))


def derive_mint_key(access_secret, device_id, issuer="local", epoch=0):
    info = f"peercam/1 mint\n{issuer}\n{epoch}".encode()
    return MintKey(issuer, epoch, device_id, HKDF(SHA256(), 32, device_id, info).derive(access_secret))


def mint(by, claims):
    """A credential by a MintKey. Claims that are bytes are taken as they are."""
    claims = claims if isinstance(claims, bytes) else json.dumps(claims, separators=(",", ":")).encode()
    key = hmac.digest(by.key, claims, "sha256")
    return Credential(f"{by.issuer}.{by.epoch}.{b64(claims)}", key, by.device_id)


class Records(bytes):
    """The keys of one direction: 16 bytes for the cipher and 32 for the MAC."""

    def cipher(self, seq, data):
        counter = modes.CTR(bytes(4) + seq.to_bytes(8, "big") + bytes(4))
        return Cipher(algorithms.AES(self[:16]), counter).encryptor().update(data)

    def tagged(self, seq, record):
        return record + hmac.digest(self[16:], seq.to_bytes(8, "big") + record, "sha256")[:16]

    def seal_record(self, seq, kind, data):
        return self.tagged(seq, bytes([kind]) + len(data).to_bytes(3, "big") + self.cipher(seq, data))

    def seal(self, data):
        cuts = [data[at:at + 16384] for at in range(0, len(data), 16384)] or [b""]
        kinds = [DATA] * (len(cuts) - 1) + [LAST]
        return b"".join(map(self.seal_record, range(len(cuts)), kinds, cuts))

    def open(self, chunks, answer=True):
        """(type, data) of every record as it comes, however it is cut; an answer's first is a head."""
        waiting, seq, last = b"", 0, False
        for chunk in chunks:
            waiting += chunk
            while len(waiting) >= 4:
                kind, end = waiting[0], 4 + int.from_bytes(waiting[1:4], "big")
                if end - 4 > LARGEST.get(kind, -1) or (kind == HEAD) != (answer and seq == 0) or last:
                    raise Broken(f"record {seq} may not be: type {kind}, {end - 4} bytes")
                if len(waiting) < end + 16:
                    break
                if not hmac.compare_digest(waiting[:end + 16], self.tagged(seq, waiting[:end])):
                    raise Broken(f"record {seq} is forged")
                yield kind, self.cipher(seq, waiting[4:end])
                waiting, seq, last = waiting[end + 16:], seq + 1, kind == LAST
        if waiting or not last:
            raise Broken(f"cut off behind record {seq}")


class Answer(namedtuple("Answer", "status headers body outside")):
    """The status and headers that count, and the body; `outside` are those of HTTP."""

    def pieces(self):
        return self.body

    def read(self):
        return b"".join(self.body)


class Viewer:
    """A connection. An answer must be read to its end before the next request."""

    def __init__(self, credential, address=None, timeout=10):
        self.credential = pairing(credential) if isinstance(credential, str) else credential
        self.socket = socket.create_connection(address or self.credential.places[0], timeout)
        self.input = self.socket.makefile("rb")
        self.secret, self.n, self.challenge = X25519PrivateKey.generate(), 0, None

    def exchange(self, method, target, headers=(), body=b""):
        """Sends a request; gives the status and headers outside. A 401 is raised."""
        head = [f"{method} {target} HTTP/1.1", "Host: device", *headers, "", ""]
        self.socket.sendall("\r\n".join(head).encode("latin-1") + body)
        raw = b""
        while not raw.endswith(b"\r\n\r\n"):
            raw += self.input.readline(8192) or fail(ConnectionError("ended by the device"))
        status, headers = int(raw.split()[1]), email.message_from_bytes(raw.partition(b"\r\n")[2])
        if status == 401:
            found = re.fullmatch('Peercam v="1", b="(.+)", d="(.+)"', headers["www-authenticate"])
            self.challenge = unb64(found[1]), unb64(found[2])
            raise Unproven(raw, self.input.read(int(headers["content-length"])))
        return status, headers

    def chunks(self):
        try:
            while left := int(self.input.readline(100), 16):
                while left:
                    yield (data := self.input.read1(left) or fail(Broken("cut off within a chunk")))
                    left -= len(data)
                self.input.readline(3)
            self.input.readline(3)
        except (ConnectionError, ValueError) as error:
            raise Broken("cut off, or not in chunks") from error

    def request(self, method, target, body=None, *, span="", clear=False, headers=(), n=None, lines=None,
                raw_target=None, sealed=None):
        """An Answer; with `clear`, one that is not in records will do.

        To tamper: `self.secret` and `n` can be others; `lines` makes others of the 13 lines;
        `raw_target` makes what is sent of the token; `sealed` makes the body of the request's Records.
        """
        with contextlib.suppress(Unproven):
            self.challenge or self.exchange("GET", "/")
        (b, d), u, self.n = self.challenge, self.secret.public_key().public_bytes_raw(), n or self.n + 1
        what = "records" if sealed or body is not None else "none"
        c = self.credential.canonical(b, d, u, self.n, method, target, what, span)
        c = b"\n".join(lines(c.split(b"\n"))) if lines else c
        keys = self.credential.okm(hashlib.sha256(c).digest(), self.secret, d)
        ours, theirs, token = Records(keys[:48]), Records(keys[48:]), self.credential.token(c)
        data = sealed(ours) if sealed else ours.seal(body) if what == "records" else b""
        headers = [*headers, *[f"Range: {span}"] * bool(span), *[f"Content-Length: {len(data)}"] * bool(data)]
        path, mark, rest = target.partition("?")
        full = raw_target(token) if raw_target else f"{path}?_token={token}{mark and '&'}{rest}"
        outside = self.exchange(method, full, headers, data)
        if (outside[0], outside[1]["content-type"]) != (200, SEALED):
            if not clear:
                raise Broken(f"an answer that is not in records: {outside[0]}\n{outside[1]}")
            length = int(outside[1]["content-length"] or 0)
            chunked = "transfer-encoding" in outside[1]
            return Answer(*outside, self.chunks() if chunked else iter([self.input.read(length)]), outside)
        records = theirs.open(self.chunks())
        head = re.fullmatch(rb"([1-5]\d\d)\n((.+: .*\n)*)", next(records)[1]) or fail(Broken("not a head"))
        body = (data for _, data in records)
        return Answer(int(head[1]), email.message_from_bytes(head[2]), body, outside)


def main(uri, what, argument):
    viewer = Viewer(open(uri[1:]).read().strip() if uri.startswith("@") else uri)
    request = "GET", "/ipc.flv?action=live&channel=0&quality=standard"
    answer = viewer.request(*request if what == "pull" else ("POST", "/command", argument.encode()))
    end = time.monotonic() + float(argument if what == "pull" else "inf")
    for piece in answer.pieces() if answer.status == 200 else sys.exit(answer.read().decode()):
        sys.stdout.buffer.write(piece)
        if time.monotonic() >= end:
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
