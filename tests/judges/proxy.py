"""`peercam proxy` as a child process, and a device that it dials."""

import os
import re
import subprocess

from conftest import PROGRAM

P2P = "[p2p]\nport = 0\n"


def paired(daemon, *options):
    """The pairing URI of a new viewer of this daemon, in a file that is ours alone."""
    name = f"viewer{len(list(daemon.directory.glob('*.uri')))}"
    done = subprocess.run([PROGRAM, "pair", name, *options, "--config", daemon.directory / "camera.toml"],
                          capture_output=True, text=True, timeout=20, check=True)
    path = daemon.directory / f"{name}.uri"
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(done.stdout)
    return path


class Proxy:
    """A running proxy. `prefix` is put before the program, as to run it elsewhere."""

    def __init__(self, uri, *options, prefix=(), listen="127.0.0.1:0", environment=None):
        self.log = open(f"{uri}.{listen.replace(':', '-')}.log", "w+")
        self.process = subprocess.Popen(
            [*prefix, PROGRAM, "proxy", f"@{uri}", "--listen", listen, *options], stdout=subprocess.PIPE,
            stderr=self.log, text=True, env=os.environ | (environment or {}))
        line = self.process.stdout.readline()
        found = re.fullmatch(r"peercam proxy is listening on (http://\S+)\n", line)
        assert found, f"{line!r}; {self.said()}"
        self.base = found[1]

    def live(self, **parameters):
        query = "&".join(f"{key}={value}" for key, value in parameters.items())
        return f"{self.base}/ipc.flv?action=live&{query}"

    def said(self):
        with open(self.log.name) as log:
            return log.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(10) == 0, self.said()
        self.process.stdout.close()
        assert "panicked" not in self.said(), self.said()
