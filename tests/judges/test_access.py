"""A listener for paired viewers, judged by a viewer that was written from the specification alone."""

import contextlib
import hashlib
import json
import re
import secrets
import socket
import subprocess
import sys
import threading
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
import pytest

from conftest import Camera, PROGRAM, ROOT, scaled, tool
import flv
import timecode
import viewer
from viewer import Broken, Records, Unproven, Viewer

LIST = b"action=inner_define&cmd=get_nvr_list"
LIVE = "/ipc.flv?action=live&channel=0&quality=standard"


class Paired(Camera):
    """A daemon with a listener for paired viewers behind an open one."""

    def __init__(self, directory, options):
        super().__init__(directory, f"""
[[listen]]
addr = "127.0.0.1:0"
[[listen]]
addr = "127.0.0.1:0"
access = "token"
{options}
[[channel]]
id = 0
name = "front"
source = {{ kind = "sim", every_picture = true }}
""")

    def admin(self, *arguments):
        return ran(PROGRAM, *arguments, "--config", self.directory / "camera.toml").decode().strip()

    def uri(self, address):
        """A new viewer's pairing URI in a file, as programs take it; it leads to this address."""
        uri = re.sub("lan=[^&]*", "lan=%s:%s" % address, self.admin("pair", "phone"))
        path = self.directory / "phone.uri"
        path.write_text(uri)
        return f"@{path}"


@pytest.fixture
def paired(tmp_path):
    """Starts a daemon: paired() or paired('allow_clear_media = true')."""
    started = []

    def start(options=""):
        started.append(Paired(tmp_path, options))
        line = started[0].process.stdout.readline()
        found = re.match(r"peercam is listening on 127\.0\.0\.1:(\d+), for viewers that were paired", line)
        assert found, line
        started[0].address = "127.0.0.1", int(found[1])
        return started[0]

    yield start
    for daemon in started:
        daemon.stop()


class Relay:
    """Stands between a viewer and the device at this address, and keeps what it sees."""

    def __init__(self, device):
        self.device, self.asked, self.answered = device, bytearray(), bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, far = self.listener.accept()[0], socket.create_connection(self.device)
                for way in [(near, far, self.asked), (far, near, self.answered)]:
                    threading.Thread(target=self.copy, args=way, daemon=True).start()

    def copy(self, source, sink, seen):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                seen += data
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def ran(*arguments):
    """The output of a program that must succeed."""
    done = subprocess.run(arguments, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:2000]
    return done.stdout


def independent(*arguments):
    return ran(sys.executable, ROOT / "tests/judges/viewer.py", *arguments)


def for_seconds(answer, seconds):
    """What comes until it has pictures for this long: a machine that has more to do takes longer."""
    data = bytearray()
    for number, piece in enumerate(answer.pieces()):
        data += piece
        if number % 10 == 0:
            shown = [tag.timestamp for tag in flv.tags(bytes(data)) if tag.is_picture]
            if shown and shown[-1] >= seconds * 1000:
                return bytes(data)
    pytest.fail("the stream ended by itself")


def soon(attempt):
    """A running device hears of an issuer within two seconds."""
    end = time.monotonic() + 2
    while True:
        try:
            return attempt()
        except Unproven:
            assert time.monotonic() < end, "the device does not know this issuer"
            time.sleep(0.1)


def check_picture(stream, seconds):
    stream = flv.whole(stream)
    probe = json.loads(tool("ffprobe", "-v", "warning", "-of", "json", "-show_streams", "-f", "flv",
                            "-i", "-", data=stream))
    video, audio = probe["streams"]
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", 640, 360)
    assert audio["codec_name"] == "aac"
    tool("ffmpeg", "-v", "warning", "-xerror", "-f", "flv", "-i", "-", "-f", "null", "-", data=stream)
    numbers = [number for number, _ in timecode.pictures(stream)]
    assert len(numbers) >= (seconds - 1) * 25
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a picture is missing"


def test_the_vectors_of_the_specification():
    text = (ROOT / "docs/protocol.md").read_text().split("### Vectors")[1].split("\n## ")[0]
    told = dict(re.findall(r"(?m)^\| ([^|`]+?),? *(?:`[^|]*)?\| `([0-9a-f]+)` \|$", text))

    device = Ed25519PrivateKey.from_private_bytes(bytes([0x11] * 32)).public_key().public_bytes_raw()
    assert f"`{device.hex()}`" in text
    by = viewer.derive_mint_key(bytes(range(32)), device)
    phone = viewer.mint(by, {"v": 1, "id": "AAECAwQFBgcICQoLDA0ODw", "name": "phone",
                             "scopes": ["live", "command"], "ch": [0], "exp": 0})
    theirs, ours = (X25519PrivateKey.from_private_bytes(bytes([byte] * 32)) for byte in (0x22, 0x33))
    d, u = (secret.public_key().public_bytes_raw() for secret in (theirs, ours))
    c = phone.canonical(bytes([0x44] * 32), d, u, 1, "POST", "/command", "records")
    th = hashlib.sha256(c).digest()
    peer = Ed25519PrivateKey.from_private_bytes(bytes([0x55] * 32)).public_key().public_bytes_raw()
    p2p = "\n".join(["peercam-token/1", "p2p", device.hex(), peer.hex(), viewer.b64(bytes([0x66] * 32)), "-", "-", "1",
                     "GET", "/ipc.p2p.com/ipc.flv?action=live&channel=0&quality=high", "", "none", phone.text])
    okm = phone.okm(th, ours, d)
    assert okm == phone.okm(th, theirs, u)
    request, response = Records(okm[:48]), Records(okm[48:])
    sealed = [request.seal(b"action=inner_define&cmd=get_device_st&type=live"),
              response.seal_record(0, viewer.HEAD, b"200\ncontent-type: application/json\n"),
              response.seal_record(1, viewer.LAST, b'[{"status":"0"}]')]
    assert {name: bytes.fromhex(value) for name, value in told.items()} == {
        "mac of the token": viewer.unb64(phone.token(c).rpartition(".")[2]),
        "mac of a P2P token": viewer.unb64(phone.token(p2p.encode()).rpartition(".")[2]),
        "K_mint": by.key, "key": phone.key, "K_token": phone.expand(b"token"),
        "K_session": phone.expand(b"session"), "D": d, "U": u, "th": th, "OKM": okm,
        "request record 0, type 3": sealed[0], "response record 0, type 1": sealed[1],
        "response record 1, type 3": sealed[2]}

    # What was sealed opens, however it is cut; and nothing of it once a bit is wrong.
    assert [*request.open([sealed[0]], answer=False)] == [
        (viewer.LAST, b"action=inner_define&cmd=get_device_st&type=live")]
    whole = sealed[1] + sealed[2]
    opened = [(viewer.HEAD, b"200\ncontent-type: application/json\n"), (viewer.LAST, b'[{"status":"0"}]')]
    assert [*response.open([whole])] == [*response.open(bytes([byte]) for byte in whole)] == opened
    for bad in (whole[:-1], sealed[1], sealed[2], sealed[2] + sealed[1], whole + b"\0", whole + sealed[2],
                *(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:] for at in range(len(whole)))):
        with pytest.raises(Broken):
            [*response.open([bad])]


def test_pairing_proving_and_a_command(paired):
    daemon = paired()
    phone = viewer.pairing(daemon.admin("pair", "phone"))
    assert phone.places == [daemon.address]
    connection = Viewer(phone)
    for _ in range(2):
        answer = connection.request("POST", "/command", LIST)
        assert answer.outside[0] == 200 and answer.outside[1]["content-type"] == viewer.SEALED
        assert answer.status == 200 and answer.headers["content-type"].startswith("application/json")
        (camera,) = json.loads(answer.read())
        assert camera["DeviceName"] == "front"

    with pytest.raises(Unproven) as nothing:
        Viewer(phone).exchange("GET", LIVE)
    forged = phone._replace(key=bytes(32))
    with pytest.raises(Unproven) as wrong:
        Viewer(forged, daemon.address).request("POST", "/command", LIST)
    assert nothing.value.body == wrong.value.body


def test_a_sealed_live_stream_is_the_picture(paired):
    seconds = scaled(60)
    answer = Viewer(paired().admin("pair", "phone")).request("GET", LIVE)
    assert answer.status == 200 and answer.headers["content-type"] == "video/x-flv"
    check_picture(for_seconds(answer, seconds), seconds)


def test_a_back_end_mints_by_itself(paired):
    daemon = paired()
    shop = viewer.mint_key(daemon.admin("mint-key", "shop"))
    screen = viewer.mint(shop, {"v": 1, "id": viewer.b64(secrets.token_bytes(16)), "name": "shop window",
                                "scopes": ["live"], "ch": [0], "exp": 0})
    refused = soon(lambda: Viewer(screen, daemon.address).request("GET", "/metrics"))
    assert refused.status == 403 and "metrics" in json.loads(refused.read())["reason"]
    live = Viewer(screen, daemon.address).request("GET", LIVE)
    assert for_seconds(live, 1).startswith(b"FLV\x01")

    daemon.admin("revoke", "--all", "--issuer", "shop")
    end = time.monotonic() + 2
    with pytest.raises(Broken):
        for _ in live.pieces():
            assert time.monotonic() < end, "it goes on"
    assert time.monotonic() < end
    with pytest.raises(Unproven):
        Viewer(screen, daemon.address).request("GET", LIVE)


@pytest.mark.parametrize("allowed", [False, True])
def test_media_in_clear_is_the_owners_decision(paired, allowed):
    daemon = paired(f"allow_clear_media = {json.dumps(allowed)}")
    phone = daemon.admin("pair", "phone")
    answer = Viewer(phone).request("GET", f"{LIVE}&_crypto=off", clear=allowed)
    if not allowed:
        assert answer.status == 403 and "allow_clear_media" in json.loads(answer.read())["reason"]
        return
    assert answer.outside[0] == 200 and answer.outside[1]["content-type"] == "video/x-flv"
    stream = for_seconds(answer, 3)
    assert stream.startswith(b"FLV\x01")
    check_picture(stream, 3)
    absent = Viewer(phone).request("GET", "/ipc.flv?action=live&channel=9&_crypto=off")
    assert absent.status == 404 and "channel" in json.loads(absent.read())["reason"]


def test_our_client_and_this_one_agree(paired):
    daemon = paired()
    uri = daemon.uri(daemon.address)
    theirs = ran(PROGRAM, "command", uri, LIST)
    assert json.loads(theirs) == json.loads(independent(uri, "command", LIST))
    assert json.loads(theirs)[0]["DeviceName"] == "front"


@pytest.mark.parametrize("who", ["peercam", "viewer.py"])
def test_what_is_on_the_wire_between_a_pair_shows_nothing(paired, who):
    daemon = paired()
    relay = Relay(daemon.address)
    uri = daemon.uri(relay.address)
    if who == "peercam":
        reply = ran(PROGRAM, "command", uri, LIST)
        picture = ran(PROGRAM, "pull", uri, "--quality", "standard", "--seconds", "3")
    else:
        reply = independent(uri, "command", LIST)
        picture = independent(uri, "pull", "3")
    assert b"DeviceName" in reply and b"onMetaData" in picture and picture.startswith(b"FLV\x01")
    assert b"/command?_token=1." in relay.asked and len(relay.answered) > len(reply) + len(picture)
    assert b"get_nvr_list" not in relay.asked
    for word in (b"DeviceName", b"FLV\x01", b"onMetaData", b"video/x-flv"):
        assert word not in relay.answered, f"{word} can be read"
