"""README, pasted by somebody who has never seen it: every block in order, in an empty home."""

import json
import os
import pathlib
import re
import subprocess
import time

import pytest

from conftest import PROGRAM, ROOT, tool
from newcomer import Newcomer, missing
from test_browser import HERE, MODULES
import timecode

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "docs/zh/README.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
DAEMON = "http://127.0.0.1:34567"
FLAGS = ["-Wall", "-Wextra", "-Werror", "-I", str(ROOT / "include")]


def blocks(document):
    """(language, text) of each."""
    return BLOCK.findall(document.read_text())


def blocks_in(language):
    found = [text for kind, text in blocks(ENGLISH) if kind == language]
    assert found, f"no block in {language}"
    return found


@pytest.fixture
def newcomer():
    if why := missing():
        pytest.skip(why)
    person = Newcomer()
    yield person
    person.leave()


class Reader:
    """Pastes block after block, and looks at what comes of it."""

    def __init__(self, person):
        self.person, self.watched = person, 0
        # When something was started last, and with which configuration.
        self.started, self.config = 0, None

    def read(self, language, text):
        getattr(self, language)(text)

    def c(self, text):
        """The first line says where to."""
        name = re.match(r"/\* (\S+\.c):", text)[1]
        (self.person.home / name).write_text(text)

    def toml(self, _text):
        """See below."""

    def sh(self, text):
        began = int(time.time())
        if "get_record_index" in text:
            self.person.wait(lambda: self.newest_file() >= self.started)
        if "rtsp://" in text:
            path, password = re.search(r"rtsp://192.168.1.64(\S+).*PASSWORD=(\w+)", text, re.S).groups()
            self.person.start_camera(path, password)
        before = set(self.person.home.glob("shown-*"))
        refusals = re.findall(r'"status":"[^0"][^}]*', self.person.paste(text))
        assert not refusals, f"{text}\n{refusals}"
        pictures = sorted(set(self.person.home.glob("shown-*")) - before)
        assert len(pictures) == len(re.findall(r"\bffplay ", text)), text
        for path in pictures:
            self.look(path)
        if (opened := self.person.home / "opened").exists():
            self.browse(opened.read_text().strip())
            opened.unlink()
        if re.search(r" &\s*(#.*)?$", text, re.M):
            self.started = began
            self.config = (re.findall(r"--config (\S+) &", text) or [self.config])[-1]
            self.person.wait(self.is_up)
            if "peercam proxy" in text:
                self.person.wait(self.is_connected)

    def is_up(self):
        health = self.person.ask(DAEMON + "/healthz") or {"channels": []}
        return health["channels"] and all(channel["online"] for channel in health["channels"])

    def is_connected(self):
        proxy = re.search(r"proxy is listening on (\S+)", self.person.transcript())
        return proxy and (self.person.ask(proxy[1] + "/healthz") or {}).get("connected")

    def newest_file(self):
        answer = self.person.ask(DAEMON + "/command?action=inner_define&cmd=get_file_list", "-XPOST") or {}
        return max((int(file["start_time"]) for file in answer.get("file_list", [])), default=0)

    def look(self, path):
        """A second of pictures, one after the other: by the simulated camera's time code, where it is in there."""
        count = tool("ffprobe", "-v", "error", "-of", "csv=p=0", "-show_entries", "stream=nb_read_frames", "-count_frames", str(path))
        assert int(count) == 25
        if self.config != "firmware.toml":
            numbers = [number for number, _ in timecode.pictures(path.read_bytes())]
            assert numbers == sorted(set(numbers)), numbers
        self.watched += 1

    def browse(self, page):
        process = self.person.inside("node", HERE / "page.mjs", page, "25", env=os.environ | {"NODE_PATH": str(MODULES)})
        said = process.communicate(timeout=90)[0]
        seen = json.loads(said)
        assert not seen["errors"] and seen["shown"] >= 25, seen


@pytest.mark.long
def test_a_stranger_gets_through_it(newcomer):
    reader = Reader(newcomer)
    for language, text in blocks(ENGLISH):
        reader.read(language, text)
    assert reader.watched >= 5, "the simulated camera, the RTSP camera, that by P2P, its recording, the camera in C"


def test_what_it_configures_is_right(tmp_path):
    for number, text in enumerate(blocks_in("toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(text if "[[channel]]" in text else text + '[[channel]]\nid = 0\nsource = { kind = "sim" }\n')
        done = subprocess.run([PROGRAM, "check", "--config", path], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 and not done.stderr, f"{text}\n{done.stderr}"


@pytest.mark.parametrize("compiler", [["gcc"], ["g++", "-x", "c++"]])
def test_its_firmware_compiles_without_a_warning(compiler, tmp_path):
    for number, text in enumerate(blocks_in("c")):
        path = tmp_path / f"{number}.c"
        path.write_text(text)
        tool(*compiler, *FLAGS, "-c", "-o", "/dev/null", str(path))


def test_the_chinese_one_has_the_same_blocks():
    assert blocks(CHINESE) == blocks(ENGLISH)


def test_it_is_short_enough_to_be_read():
    lines = ENGLISH.read_text().splitlines()
    assert len(lines) <= 250
    assert not [line for line in lines if len(line) > 120 and not line.startswith("|")]
