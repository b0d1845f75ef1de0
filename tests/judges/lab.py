"""Networks with real NAT, made of namespaces: a device and a viewer behind a router each, and between
them a public network with a relay.

    device 192.168.1.2 - router 198.51.100.10 --+
                                                 +-- public network, relay at 198.51.100.1
    viewer 192.168.2.2 - router 198.51.100.20 --+

Kinds of routers: "easy" keeps a sender's port (and lets in only who was written to); "hard" gives each
destination another port; "no-udp" is easy and drops UDP; "double" is easy behind another easy one.
Everything has this process's number in its name, and goes when the lab is closed.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

from conftest import PROGRAM, ROOT

RELAY = os.environ.get("PEERCAM_RELAY_BIN", str(ROOT / "target/release/examples/relay"))
PUBLIC = "198.51.100.1"
TOKEN = "onlyourowncameras"


def missing():
    """Why there can be no lab here; None if there can."""
    if os.getuid() != 0:
        return "network namespaces can be made by root only"
    for program in ("ip", "nft", "conntrack", "openssl"):
        if not shutil.which(program):
            return f"{program} is not installed: run tests/run"
    name = f"pc{os.getpid()}probe"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return "this system lets no network namespaces be made"
    rules = ["ip", "netns", "exec", name, "nft", "add table ip probe; add chain ip probe c { type nat hook postrouting priority 100; }"]
    refused = subprocess.run(rules, capture_output=True).returncode
    subprocess.run(["ip", "netns", "del", name], check=True)
    return "this system has no NAT in namespaces" if refused else None


def ran(*arguments, **options):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


class Lab:
    def __init__(self, directory):
        self.directory, self.started, self.names = directory, [], []

    def build(self, device="easy", viewer="easy"):
        self.public = self.space("pub")
        self.run(self.public, "ip link add br0 type bridge", "ip link set br0 up", "ip link set lo up",
                 f"ip addr add {PUBLIC}/24 dev br0")
        self.device_router, self.device = self.side("d", "192.168.1", 10, device)
        self.viewer_router, self.viewer = self.side("v", "192.168.2", 20, viewer)

    def space(self, name):
        name = f"pc{os.getpid()}{name}"
        ran("ip", "netns", "add", name)
        self.names.append(name)
        return name

    def run(self, space, *commands):
        for command in commands:
            ran("ip", "netns", "exec", space, *(command if isinstance(command, tuple) else command.split()))

    def side(self, letter, lan, host, kind):
        router, inner = self.space(f"{letter}r"), self.space(letter)
        if kind == "double":
            # The provider's router has a network of its own towards the home's.
            provider = self.space(f"{letter}p")
            self.wire(provider, "wan", self.public, f"w{letter}")
            self.run(self.public, f"ip link set w{letter} master br0")
            self.address(provider, "wan", f"198.51.100.{host}/24", PUBLIC)
            self.wire(router, "wan", provider, "lan")
            self.address(provider, "lan", f"100.64.{host}.1/24")
            self.address(router, "wan", f"100.64.{host}.2/24", f"100.64.{host}.1")
            self.rules(provider, "easy")
        else:
            self.wire(router, "wan", self.public, f"w{letter}")
            self.run(self.public, f"ip link set w{letter} master br0")
            self.address(router, "wan", f"198.51.100.{host}/24", PUBLIC)
        self.wire(inner, "eth0", router, "lan")
        self.address(router, "lan", f"{lan}.1/24")
        self.address(inner, "eth0", f"{lan}.2/24", f"{lan}.1")
        self.rules(router, kind)
        return router, inner

    def wire(self, one, name, other, other_name):
        ran("ip", "link", "add", name, "netns", one, "type", "veth", "peer", "name", other_name, "netns", other)
        self.run(one, f"ip link set {name} up", "ip link set lo up")
        self.run(other, f"ip link set {other_name} up")

    def address(self, space, device, address, gateway=None):
        self.run(space, f"ip addr add {address} dev {device}")
        if gateway:
            self.run(space, f"ip route add default via {gateway}")

    def rules(self, router, kind):
        hide = "masquerade fully-random" if kind == "hard" else "masquerade"
        block = "ip protocol udp drop" if kind == "no-udp" else ""
        self.run(router, "sysctl -qw net.ipv4.ip_forward=1", ("nft", f"""
            table ip nat {{
                chain out {{
                    type nat hook postrouting priority 100
                    oifname "wan" {hide}
                }}
            }}
            table ip filter {{
                chain input {{
                    type filter hook input priority 0
                    iifname "wan" ct state established,related accept
                    iifname "wan" drop
                }}
                chain forward {{
                    type filter hook forward priority 0
                    {block}
                    iifname "wan" ct state established,related accept
                    iifname "wan" drop
                }}
            }}
            """))

    def cut(self):
        """Drops everything that goes straight between the two routers."""
        self.run(self.public, ("nft", "add table bridge cut; add chain bridge cut c { type filter hook forward priority 0; policy drop; }"))

    def heal(self):
        self.run(self.public, ("nft", "delete table bridge cut"))

    def start(self, space, *arguments, log, **environment):
        """A program in a namespace."""
        output = open(self.directory / log, "a+")
        process = subprocess.Popen(["ip", "netns", "exec", space, *map(str, arguments)], stdout=subprocess.PIPE,
                                   stderr=output, text=True, env=os.environ | environment)
        self.started.append(process)
        return process

    def stop(self, process, how=signal.SIGKILL):
        process.send_signal(how)
        process.wait(20)
        process.stdout.close()
        self.started.remove(process)

    def certificates(self):
        """An authority that nobody knows, and a certificate of the relay by it."""
        at = self.directory
        if not (at / "ca.pem").exists():
            ran("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=lab", "-keyout", at / "ca.key", "-out", at / "ca.pem")
            ran("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=relay",
                "-keyout", at / "relay.key", "-out", at / "relay.csr")
            (at / "relay.ext").write_text(f"subjectAltName=IP:{PUBLIC}\nbasicConstraints=CA:FALSE\n")
            ran("openssl", "x509", "-req", "-in", at / "relay.csr", "-CA", at / "ca.pem", "-CAkey", at / "ca.key", "-days", "2",
                "-extfile", at / "relay.ext", "-out", at / "relay.pem")

    def start_relay(self):
        self.certificates()
        relay = self.start(self.public, RELAY, PUBLIC, self.directory / "relay.pem", self.directory / "relay.key", TOKEN, log="relay.log")
        assert relay.stdout.readline() == "the relay is there\n", (self.directory / "relay.log").read_text()
        return relay

    def start_device(self, with_relay=True):
        relays = f'relays = ["https://{PUBLIC}"]\nrelay_ca = "ca.pem"\nrelay_token = "{TOKEN}"\n' if with_relay else ""
        (self.directory / "camera.toml").write_text(f"""
[[listen]]
addr = "127.0.0.1:34567"
[p2p]
port = 34567
{relays}
[[channel]]
id = 0
name = "front"
source = {{ kind = "sim" }}
""")
        process = self.start(self.device, PROGRAM, "--log", "debug", "--config", self.directory / "camera.toml", log="device.log")
        assert process.stdout.readline().startswith("peercam is listening"), (self.directory / "device.log").read_text()
        return process

    def pair(self):
        path = self.directory / "viewer.uri"
        text = ran("ip", "netns", "exec", self.device, PROGRAM, "pair", "viewer", "--config", self.directory / "camera.toml")
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        return path

    def start_proxy(self, uri):
        authority = self.directory / "ca.pem"
        options = ["--relay-ca", authority] if authority.exists() else []
        process = self.start(self.viewer, PROGRAM, "--log", "debug", "proxy", f"@{uri}", *options, log="proxy.log")
        line = process.stdout.readline()
        assert line.startswith("peercam proxy is listening"), (self.directory / "proxy.log").read_text()
        return process, line.split()[-1]

    def record(self, base, name="stream.flv"):
        """Plays the live stream into a file until it is stopped."""
        path = self.directory / name
        url = f"{base}/ipc.flv?action=live&channel=0&quality=standard"
        return self.start(self.viewer, "python3", ROOT / "tests/judges/recorder.py", url, path, log="player.log"), path

    def log(self, name):
        path = self.directory / name
        return path.read_text() if path.exists() else ""

    def close(self):
        for process in self.started:
            process.kill()
            process.wait()
            process.stdout.close()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def paths(self):
        """(seconds since the epoch, path) of the viewer's connection, as its log tells."""
        found = []
        for line in self.log("proxy.log").splitlines():
            if "connected to the device path=" in line:
                stamp, path = line.split(" ", 1)[0], line.split("path=")[1]
                whole, fraction = stamp.rstrip("Z").split(".")
                seconds = time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(f"0.{fraction}")
                found.append((seconds, "direct" if path.startswith("direct") else "relay"))
        return found

    def wait_for(self, what, seconds=30):
        """Waits until `what()` is true, and gives when it was seen."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if what():
                return time.time()
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} s\n--- proxy\n{self.log('proxy.log')[-3000:]}\n--- device\n{self.log('device.log')[-3000:]}")

    def wait_for_path(self, kind, since=0.0, seconds=30):
        self.wait_for(lambda: any(path == kind and at >= since for at, path in self.paths()), seconds)
        return next(at for at, path in self.paths() if path == kind and at >= since)


@contextlib.contextmanager
def lab(directory, **kinds):
    made = Lab(pathlib.Path(directory))
    try:
        made.build(**kinds)
        yield made
    finally:
        made.close()
