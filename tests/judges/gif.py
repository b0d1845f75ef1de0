"""Makes docs/peercam.gif: what a newcomer types, what the program answers, and what its camera shows.

    cargo build --release; ~/.cache/peercam-tests/venv/bin/python tests/judges/gif.py

Nothing in it is drawn by hand: answers are those of the program (its log is left out), pictures come from its streams.
"""

import pathlib
import subprocess
import tempfile

import numpy

from conftest import ROOT
from newcomer import Newcomer

GIF = ROOT / "docs/peercam.gif"
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"
RATE = 5
COLUMNS, ROWS, CELL_WIDTH, CELL_HEIGHT, BASELINE = 88, 26, 9, 18, 14
INK, PAPER, PROMPT, BAR = (220, 220, 220), (24, 26, 30), (120, 200, 120), (70, 74, 82)
PLAYER = (480, 270)
MARGIN = 8
LIVE = "ipc.flv?action=live&channel=0&quality=super"


def glyphs():
    """How much of a cell each printable character covers, 0 to 1."""
    letters = [chr(code) for code in range(32, 128)]
    with tempfile.TemporaryDirectory() as directory:
        steps = []
        for index, letter in enumerate(letters):
            path = pathlib.Path(directory) / f"{index}"
            path.write_text(letter)
            steps.append(f"drawtext=fontfile={FONT}:fontsize=15:fontcolor=white:expansion=none:textfile={path}"
                         f":x={index * CELL_WIDTH}:y={BASELINE}-ascent")
        size = f"{len(letters) * CELL_WIDTH}x{CELL_HEIGHT}"
        raw = subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"color=black:s={size}", "-vf", ",".join(steps),
                              "-frames:v", "1", "-pix_fmt", "gray", "-f", "rawvideo", "-"], capture_output=True, check=True).stdout
    strip = numpy.frombuffer(raw, numpy.uint8).reshape(CELL_HEIGHT, len(letters), CELL_WIDTH) / 255
    return {letter: strip[:, index] for index, letter in enumerate(letters)}


class Screen:
    """A terminal, and a player's window in front of it."""

    def __init__(self):
        self.glyphs, self.frames = glyphs(), []
        self.clear()

    def clear(self):
        self.lines = [("", INK)]

    def write(self, text, ink=INK):
        for index, line in enumerate(text.rstrip("\n").split("\n")):
            if index:
                self.lines.append(("", ink))
            for letter in line:
                last, _ = self.lines[-1]
                if len(last) == COLUMNS:
                    self.lines.append(("", ink))
                    last = ""
                self.lines[-1] = (last + letter, ink)

    def enter(self, prompt, command):
        """Typed, three letters in a frame."""
        if self.lines[-1][0]:
            self.lines.append(("", PROMPT))
        for start in range(0, len(command), 3):
            self.write((prompt if start == 0 else "") + command[start:start + 3], PROMPT)
            self.show()
        self.show(1)

    def answer(self, text):
        self.lines.append(("", INK))
        self.write(text)

    def paint(self, canvas, x, y, text, ink, paper):
        for index, letter in enumerate(text):
            cover = self.glyphs.get(letter, self.glyphs["?"])[:, :, None]
            left = x + index * CELL_WIDTH
            canvas[y:y + CELL_HEIGHT, left:left + CELL_WIDTH] = numpy.array(ink) * cover + numpy.array(paper) * (1 - cover)

    def show(self, times=1, player=None):
        canvas = numpy.full((ROWS * CELL_HEIGHT + 2 * MARGIN, COLUMNS * CELL_WIDTH + 2 * MARGIN, 3), PAPER, numpy.uint8)
        for row, (line, ink) in enumerate(self.lines[-ROWS:]):
            self.paint(canvas, MARGIN, MARGIN + row * CELL_HEIGHT, line, ink, PAPER)
        if player is not None:
            title, picture = player
            width, height = PLAYER
            left, top = canvas.shape[1] - width - 2 * MARGIN, canvas.shape[0] - height - 2 * MARGIN
            canvas[top - CELL_HEIGHT - 4:top, left:left + width] = BAR
            self.paint(canvas, left + 8, top - CELL_HEIGHT - 2, title, INK, BAR)
            canvas[top:top + height, left:left + width] = picture
        self.frames += [canvas] * times

    def play(self, title, pictures):
        for picture in pictures:
            self.show(player=(title, picture))

    def save(self, path):
        height, width, _ = self.frames[0].shape
        colours = "split[a][b];[a]palettegen=max_colors=48:stats_mode=full[p];[b][p]paletteuse=dither=none:diff_mode=rectangle"
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(RATE),
                        "-i", "-", "-filter_complex", colours, str(path)], input=b"".join(map(bytes, self.frames)), check=True)


def watched(person, url, seconds):
    """What a player shows."""
    width, height = PLAYER
    done = subprocess.run(person.line_of_person("ffmpeg", "-v", "error", "-i", url, "-t", seconds, "-vf", f"fps={RATE},scale={width}:{height}",
                                                "-pix_fmt", "rgb24", "-f", "rawvideo", "-"), capture_output=True, check=True)
    return numpy.frombuffer(done.stdout, numpy.uint8).reshape(-1, height, width, 3)


def answer_of(person, command, last):
    """What a program that goes on running has said when it is there."""
    path = person.home / "said"
    person.paste(f"true > {path}\n{command} > {path} 2>/dev/null &\n")
    person.wait(lambda: last in path.read_text())
    return path.read_text()


def main():
    screen, person = Screen(), Newcomer()
    try:
        person.paste("cd peercam\ncargo install --locked --path .\ncd ..\n")

        screen.enter("$ ", "peercam")
        screen.answer(answer_of(person, "peercam", "stops it"))
        screen.show(8)
        screen.play("ffplay", watched(person, f"http://127.0.0.1:34567/{LIVE}", 4))

        screen.clear()
        screen.enter("camera$ ", "peercam pair laptop > laptop.uri")
        screen.answer(person.paste("(umask 077; peercam pair laptop > laptop.uri)\n").strip())
        screen.show(6)
        screen.enter("laptop$ ", "peercam proxy @laptop.uri &")
        said = answer_of(person, "peercam proxy @laptop.uri", "listening on")
        base = said.split("listening on ")[1].split()[0]
        screen.answer(said)
        screen.show(3)
        screen.enter("laptop$ ", f"ffplay '{base}/{LIVE}'")
        person.wait(lambda: (person.ask(f"{base}/healthz") or {}).get("connected"))
        screen.play("ffplay, on another machine: encrypted, over P2P", watched(person, f"{base}/{LIVE}", 4))
        screen.save(GIF)
    finally:
        person.leave()


main()
