"""docs/api.md as an integrator uses it, and docs/openapi.json as foreign programs read it.

The lines of the page are run in curl, node and Python against one daemon and its proxy; its examples, and what
the daemon answers, are held against the file. Routes and parameters are held by `tests/it/api.rs`.
"""

import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import wave

import jsonschema
import openapi_spec_validator

from conftest import PROGRAM, ROOT, tool
from proxy import P2P, Proxy, paired

PAGE = (ROOT / "docs/api.md").read_text()
FILE = json.loads((ROOT / "docs/openapi.json").read_text())
SCHEMAS = FILE["components"]["schemas"]

# JavaScript's `fetch` is content with a refusal.
STRICT = """const ask = globalThis.fetch;
globalThis.fetch = async (...all) => {
    const answer = await ask(...all);
    if (!answer.ok) throw new Error(`${all[0]}: ${answer.status} ${await answer.text()}`);
    return answer;
};
"""
LANGUAGES = {
    "sh": lambda text: ["bash", "-euc", text],
    "js": lambda text: ["node", "--input-type=module", "-e", STRICT + text],
    "python": lambda text: [sys.executable, "-c", text],
}
ENDLESS = "GET /events"


def blocks():
    """(heading, language, text) of each block of the page."""
    heading, found = "", []
    for part in re.finditer(r"^#+ ([^\n]+)$|^```(\w*)\n(.*?)^```$", PAGE, re.M | re.S):
        if part[1]:
            heading = part[1]
        else:
            found.append((heading, part[2], part[3]))
    return found


def is_like(schema, value):
    document = {"$ref": f"#/components/schemas/{schema}", "components": FILE["components"]}
    jsonschema.Draft202012Validator(document).validate(value)


def is_answer(schema, value):
    """As `is_like`, of a schema within the file."""
    jsonschema.Draft202012Validator(schema | {"components": FILE["components"]}).validate(value)


def opened(url, data=None):
    return json.load(urllib.request.urlopen(url, data=data, timeout=20))


def command(base, **parameters):
    return opened(f"{base}/command", urllib.parse.urlencode(parameters).encode())


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_the_file_is_openapi():
    openapi_spec_validator.validate(FILE)
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
        for example in schema.get("examples", []):
            is_answer(schema, example)


def test_the_page_has_what_the_file_has_and_its_examples_are_of_that_form():
    prose = re.sub(r"^```.*?^```$", "", PAGE, flags=re.M | re.S)
    words = {word for code in re.findall(r"`([^`\n]+)`", prose) for word in re.findall(r"[\w.]+", code)}
    named = {parameter["name"] for parameter in FILE["components"]["parameters"].values()}
    for name, schema in SCHEMAS.items():
        if name.startswith(("Command_", "Topic_")):
            named |= {name.split("_", 1)[1]} | set(schema["properties"])
        named |= set(schema.get("x-words", []))
    assert named <= words, named - words
    headings = [heading for heading, *_ in blocks()]
    for path, item in FILE["paths"].items():
        for method in item.keys() & {"get", "post"}:
            assert any(heading.startswith(f"{method.upper()} {path}") for heading in headings), (method, path)

    checked = 0
    others = {"Errors": "Refusal", "Commands": "Help", "The other way round: programs that do commands": "Handled",
              "GET /healthz of the proxy": "ProxyHealth"}
    for heading, language, text in blocks():
        if language == "json":
            if heading in others:
                is_like(others[heading], json.loads(text))
            else:
                method, path = heading.split()
                answer = FILE["paths"][path][method.lower()]["responses"]["200"]
                is_answer(answer["content"]["application/json"]["schema"], json.loads(text))
            checked += 1
    for row in re.findall(r"^\| `(\w+)` \|.* \| `([\[{].*)` \|$", PAGE, re.M):
        name, example = row
        schema = SCHEMAS.get(f"Command_{name}") or SCHEMAS[f"Topic_{name}"]
        is_answer(schema["x-answer"], json.loads(example))
        checked += 1
    assert checked >= 36, checked


def test_the_lines_of_the_page_work(camera, tmp_path):
    daemon = camera(P2P + '[record]\nsegment = "5s"\n', source='{ kind = "sim" }')

    def recorded():
        files = command(daemon.base, action="inner_define", cmd="get_file_list", file_type=0)["file_list"]
        return files and int(files[0]["end_time"]) - int(files[0]["start_time"]) >= 2 and files[0]

    with Proxy(paired(daemon)) as proxy:
        first = until(recorded)
        opened(f"{proxy.base}/healthz")
        command(proxy.base, action="inner_define", cmd="get_nvr_list")
        session = opened(f"{daemon.base}/sessions")["sessions"][0]["session"]
        values = {
            "http://127.0.0.1:34567": daemon.base,
            "http://127.0.0.1:34600/ipc.p2p.com": proxy.base,
            "0-1767225600000.mp4": first["file_name"],
            "1767225600": first["start_time"],
            "AAAAAAAAAAAA": session,
        }
        for language, started in LANGUAGES.items():
            lines = [(heading, text) for heading, kind, text in blocks() if kind == language]
            assert len(lines) >= 17
            prologue = lines.pop(0)[1]
            for example, real in values.items():
                assert example in prologue
                prologue = prologue.replace(example, real)
            directory = tmp_path / language
            directory.mkdir()
            with wave.open(str(directory / "sound.wav"), "wb") as sound:
                sound.setnchannels(1)
                sound.setsampwidth(2)
                sound.setframerate(8000)
                sound.writeframes(b"\x11\x11" * 1600)
            usual = [text for heading, text in lines if heading != ENDLESS]
            done = subprocess.run(started(prologue + "".join(usual)), cwd=directory, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{language}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            for name, start in [("playback.flv", b"FLV\1"), ("snapshot.jpg", b"\xff\xd8"), ("speaker.wav", b"RIFF"),
                                *([] if language == "js" else [("live.flv", b"FLV\1")])]:
                assert (directory / name).read_bytes().startswith(start), (language, name)
            assert len((directory / first["file_name"]).read_bytes()) >= int(first["file_size"])
            [endless] = [text for heading, text in lines if heading == ENDLESS]
            hears(started(prologue + endless), lambda: says_hello(daemon.base, session))


def says_hello(base, session):
    path = f"/ipc.p2p.com/forward/{session}/proxy.sample.server/feedback"
    assert opened(base + path, b'{"my_message":"hello world"}') == {"status": "0"}


def hears(arguments, say):
    """Runs a program that reads events until it shows one."""
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        shown = threading.Event()

        def read():
            for line in program.stdout:
                if line == 'data: {"my_message":"hello world"}\n':
                    shown.set()

        reader = threading.Thread(target=read)
        reader.start()

        def is_shown():
            say()
            return shown.wait(0.2)

        try:
            until(is_shown)
        finally:
            program.kill()
            reader.join()


def test_the_proxy_serves_what_the_file_says(camera):
    usual = urllib.parse.urlsplit(FILE["servers"][1]["url"]).netloc
    assert usual in tool(PROGRAM, "proxy", "--help").decode()
    daemon = camera(P2P)
    with Proxy(paired(daemon)) as proxy:
        try:
            opened(f"{proxy.base}/nothing")
        except urllib.error.HTTPError as refused:
            reason = json.load(refused)
        is_like("Refusal", reason)
        here = {path for path, item in FILE["paths"].items()
                for what in item.values() if isinstance(what, dict) and "proxy" in what["x-surfaces"]}
        assert set(re.findall(r"/[\w.]+", reason["reason"])) == here
        is_like("ProxyHealth", opened(f"{proxy.base}/healthz"))
        for name, schema in SCHEMAS.items():
            if not name.startswith(("Command_", "Topic_")) or "x-answer" not in schema:
                continue
            example = schema["examples"][0]
            if name.startswith("Topic_"):
                example = {"action": "user_define", "cmd": json.dumps(example)}
            for base in (daemon.base, proxy.base):
                is_answer(schema["x-answer"], command(base, **example))
