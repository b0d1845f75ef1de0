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
import math
import pathlib
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


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert b64(data) == text, f"not canonical: {text!r}"
    return data


def mac(key, data):
    return hmac.digest(key, data, "sha256")


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
        return f"1.{self.text}.{n}.{u}.{b64(mac(self.expand(b'token'), c))}"

    def okm(self, th, secret, d):
        """96 bytes: the first half is for the request's records, the second for the answer's."""
        try:
            shared = secret.exchange(X25519PublicKey.from_public_bytes(d))
        except ValueError as error:
            raise Broken("a shared secret of zeros") from error
        return self.expand(b"records", mac(th, self.expand(b"session") + shared), 96)


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
    return Credential(f"{by.issuer}.{by.epoch}.{b64(claims)}", mac(by.key, claims), by.device_id)


class Records:
    """One direction: 16 bytes of a cipher key and 32 of a MAC key."""

    def __init__(self, keys):
        self.cipher_key, self.mac_key = keys[:16], keys[16:]

    def cipher(self, seq, data):
        counter = modes.CTR(bytes(4) + seq.to_bytes(8, "big") + bytes(4))
        return Cipher(algorithms.AES(self.cipher_key), counter).encryptor().update(data)

    def tagged(self, seq, record):
        return record + mac(self.mac_key, seq.to_bytes(8, "big") + record)[:16]

    def seal_record(self, seq, kind, data):
        return self.tagged(seq, bytes([kind]) + len(data).to_bytes(3, "big") + self.cipher(seq, data))

    def seal(self, data):
        cuts = [data[at:at + 16384] for at in range(0, len(data), 16384)] or [b""]
        kinds = [DATA] * (len(cuts) - 1) + [LAST]
        return b"".join(map(self.seal_record, range(len(cuts)), kinds, cuts))

    def open(self, chunks, answer=True):
        """(type, data) of every record as it comes, however it is cut; an answer's first is a head."""
        waiting, seq, kind = b"", 0, None
        for chunk in chunks:
            waiting += chunk
            while len(waiting) >= 4 and kind != LAST:
                now, end = waiting[0], 4 + int.from_bytes(waiting[1:4], "big")
                if end - 4 > LARGEST.get(now, -1) or (now == HEAD) != (answer and seq == 0):
                    raise Broken(f"record {seq}: its type or length may not be")
                if len(waiting) < end + 16:
                    break
                if not hmac.compare_digest(waiting[:end + 16], self.tagged(seq, waiting[:end])):
                    raise Broken(f"record {seq} is forged")
                kind = now
                yield kind, self.cipher(seq, waiting[4:end])
                waiting, seq = waiting[end + 16:], seq + 1
            if waiting and kind == LAST:
                raise Broken("something follows the last record")
        if kind != LAST:
            raise Broken("cut off")


class Answer:
    """`status` and `headers` that count, and the body: pieces() as they come, or read() for all of it."""

    def __init__(self, outside, chunks, keys=None):
        self.outside = self.status, self.headers = outside
        self.body = chunks
        if keys:
            records = Records(keys).open(chunks)
            found = re.fullmatch(r"([1-5]\d\d)\n((.+: .*\n)*)", next(records)[1].decode("latin-1"))
            if not found:
                raise Broken("not a head")
            self.status, self.headers = int(found[1]), email.message_from_string(found[2])
            self.body = (data for _, data in records)

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
            raw += self.input.readline(8192) or self.ended()
        status, headers = int(raw.split()[1]), email.message_from_bytes(raw.partition(b"\r\n")[2])
        if status == 401:
            found = re.fullmatch('Peercam v="1", b="(.+)", d="(.+)"', headers["www-authenticate"])
            self.challenge = unb64(found[1]), unb64(found[2])
            raise Unproven(raw, self.input.read(int(headers["content-length"])))
        return status, headers

    def ended(self):
        raise ConnectionError("the device ended the connection")

    def chunks(self):
        try:
            while left := int(self.input.readline(100), 16):
                while left:
                    yield (data := self.input.read1(left) or self.ended())
                    left -= len(data)
                self.input.readline(3)
            self.input.readline(3)
        except (ConnectionError, ValueError) as error:
            raise Broken("cut off, or not in chunks") from error

    def request(self, method, target, body=None, *, span="", clear=False, headers=(), n=None,
                secret=None, lines=None, raw_target=None, sealed=None):
        """An Answer; with `clear`, one that is not in records will do.

        To tamper: `n` and `secret` are used for our own; `lines` makes others of the 13 lines;
        `raw_target` makes what is sent of the token; `sealed` makes the body of the request's Records.
        """
        if not self.challenge:
            with contextlib.suppress(Unproven):
                self.exchange("GET", "/")
        (b, d), self.n, secret = self.challenge, n or self.n + 1, secret or self.secret
        u, what = secret.public_key().public_bytes_raw(), "records" if sealed or body is not None else "none"
        c = self.credential.canonical(b, d, u, self.n, method, target, what, span)
        c = b"\n".join(lines(c.split(b"\n"))) if lines else c
        token = self.credential.token(c)
        keys = self.credential.okm(hashlib.sha256(c).digest(), secret, d)
        ours = Records(keys[:48])
        data = sealed(ours) if sealed else ours.seal(body) if what == "records" else b""
        headers = [*headers, *[f"Range: {span}"] * bool(span), *[f"Content-Length: {len(data)}"] * bool(data)]
        path, mark, rest = target.partition("?")
        full = raw_target(token) if raw_target else f"{path}?_token={token}{mark and '&'}{rest}"
        outside = self.exchange(method, full, headers, data)
        if outside[0] == 200 and outside[1]["content-type"] == SEALED:
            return Answer(outside, self.chunks(), keys[48:])
        if not clear:
            raise Broken(f"an answer that is not in records: {outside}")
        return Answer(outside, self.chunks() if "transfer-encoding" in outside[1] else iter(()))


def main(uri, what, argument):
    viewer = Viewer(pathlib.Path(uri[1:]).read_text().strip() if uri.startswith("@") else uri)
    if what == "pull":
        end = time.monotonic() + float(argument)
        answer = viewer.request("GET", "/ipc.flv?action=live&channel=0&quality=standard")
    else:
        answer, end = viewer.request("POST", "/command", argument.encode()), math.inf
    for piece in answer.pieces():
        sys.stdout.buffer.write(piece)
        if time.monotonic() >= end:
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
