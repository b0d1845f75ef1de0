"""What is made of the command line for other programs: completions for shells, manual pages for mandoc and groff."""

import os
import shlex
import subprocess

import pytest

from conftest import PROGRAM, ROOT, tool

ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}


def shell(*arguments):
    done = subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split()


@pytest.fixture
def script(tmp_path):
    """The file with the completions for a shell."""
    def write(name):
        path = tmp_path / f"peercam.{name}"
        path.write_bytes(tool(PROGRAM, "completions", name))
        return shlex.quote(str(path))
    return write


def test_bash_completes(script):
    path = script("bash")

    def completed(*words):
        array = " ".join(map(shlex.quote, words))
        return shell("bash", "--norc", "-uc", f"""
            source {path}
            COMP_WORDS=({array}) COMP_CWORD={len(words) - 1} COMPREPLY=()
            _peercam peercam {shlex.quote(words[-1])} {shlex.quote(words[-2])}
            printf '%s\\n' "${{COMPREPLY[@]}}" """)

    assert completed("peercam", "pu") == ["pull"]
    assert set(completed("peercam", "record", "")) >= {"ls", "check"}
    assert completed("peercam", "pair", "--sc") == ["--scope"]
    assert "--quality" in completed("peercam", "pull", "--")


def test_fish_completes(script):
    path = script("fish")

    def completed(line):
        return shell("fish", "--no-config", "-c", f"source {path}; complete -C {shlex.quote(line)} | string replace -r '\\t.*' ''")

    assert completed("peercam pu") == ["pull"]
    assert completed("peercam pair --sc") == ["--scope"]
    assert set(completed("peercam record ")) >= {"ls", "check"}


def test_zsh_takes_the_script(script):
    path = script("zsh")
    shell("zsh", "-fn", path.strip("'"))
    assert shell("zsh", "-fc", f"autoload -U compinit; compinit -u -D; source {path}; print $_comps[peercam]") == ["_peercam"]


def test_manual_pages(tmp_path):
    tool(ROOT / "target/release/examples/man", tmp_path)
    pages = {page.name: page for page in tmp_path.iterdir()}
    assert pages.keys() >= {"peercam.1", "peercam-pair.1", "peercam-pull.1", "peercam-record-ls.1"}
    for name, page in pages.items():
        assert tool("groff", "-k", "-man", "-Tutf8", "-ww", "-z", page) == b"", name
        text = tool("mandoc", "-Tutf8", page).decode()
        # Bold is written over itself.
        text = "".join(c for c, after in zip(text, text[1:] + " ") if "\b" not in (c, after))
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"]:
            assert f"\n{section}\n" in text, f"{section} in {name}"
        if name not in ("peercam.1", "peercam-record.1"):
            lines = text.split("\nEXAMPLES\n")[1].splitlines()
            assert sum("peercam " in line for line in lines) >= 2, name
    findings = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *pages.values()], capture_output=True, text=True)
    # A line is broken beside an empty one, which shows nowhere.
    findings = [line for line in findings.stdout.splitlines() if "skipping paragraph macro: br" not in line]
    assert findings == []
