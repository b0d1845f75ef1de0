"""Recordings and their playback, judged by ffmpeg and by the time code in the pictures."""

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request

import numpy
import pytest

from conftest import scaled, tool
import beep
import flv
import timecode

GOP = 25
RECORD = '[record]\nsegment = "5s"\nquality = "standard"\n'


def source(audio="aac"):
    return f'{{ kind = "sim", every_picture = true, gop = {GOP}, audio = "{audio}" }}'


def command(daemon, text):
    request = urllib.request.Request(f"{daemon.base}/command?action=inner_define&cmd={text}", method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def wait_for(what, seconds=40):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it does not come")


def recorded(daemon, seconds):
    """(first, last) second of what is recorded, once there is so much."""
    def look():
        spans = command(daemon, "get_record_index")["video_list"]
        if spans and int(spans[-1]["end_time"]) - int(spans[0]["start_time"]) >= seconds:
            return int(spans[0]["start_time"]), int(spans[-1]["end_time"])
    return wait_for(look)


def files(daemon):
    listed = command(daemon, "get_file_list&file_type=0")["file_list"]
    for entry in listed:
        url = f"{daemon.base}/ipc.flv?action=download&file_name={entry['file_name']}&offset=0"
        with urllib.request.urlopen(url, timeout=20) as answer:
            yield entry, answer.read()


def numbers_of(mp4):
    """The frame numbers of a file's pictures."""
    return [number for number, _ in timecode.pictures(mp4, "mp4")]


def stamps_of(mp4):
    """When a file's pictures are shown, in ms."""
    probe = tool("ffprobe", "-v", "error", "-of", "csv=p=0", "-select_streams", "v", "-show_entries", "packet=pts_time", "-f", "mp4", "-i", "-", data=mp4)
    return [float(line.rstrip(b",")) * 1000 for line in probe.split()]


class Player:
    """Takes a playback as fast as it comes."""

    def __init__(self, daemon, start, end):
        self.daemon, self.data, self.ended = daemon, bytearray(), threading.Event()
        self.answer = urllib.request.urlopen(
            f"{daemon.base}/ipc.flv?action=playback&channel=0&start_time={start}&end_time={end}", timeout=900)
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        while piece := self.answer.read1(65536):
            self.data += piece
        self.ended.set()

    def pictures(self):
        """(frame number, timestamp) of every picture so far."""
        data = bytes(self.data)
        stamps = [tag.timestamp for tag in flv.tags(data) if tag.is_picture]
        shown = timecode.pictures(flv.whole(data))
        return [(number, stamp) for (number, _), stamp in zip(shown, stamps)]

    def count(self):
        data = bytes(self.data)
        return sum(tag.is_picture for tag in flv.tags(data)) if len(data) > 13 else 0

    def wait_for_more(self, pictures):
        wanted = self.count() + pictures
        wait_for(lambda: self.count() >= wanted)

    def tell(self, text):
        assert command(self.daemon, text)["status"] == "0", text


@pytest.mark.parametrize("audio,codec", [("aac", "aac"), ("pcma", "pcm_alaw")])
def test_files_play_anywhere_and_nothing_is_missing_between_them(camera, audio, codec):
    daemon = camera('audio = "pass"\n' + RECORD, source=source(audio))
    recorded(daemon, max(scaled(60), 12))
    shown = []
    for entry, mp4 in files(daemon):
        probe = json.loads(tool("ffprobe", "-v", "warning", "-of", "json", "-show_streams", "-f", "mp4", "-i", "-", data=mp4))
        kinds = {stream["codec_type"]: stream["codec_name"] for stream in probe["streams"]}
        assert kinds == {"video": "h264", "audio": codec}
        # G.711 names no layout of channels.
        tool("ffmpeg", "-v", "warning", "-xerror", "-guess_layout_max", "0", "-f", "mp4", "-i", "-", "-f", "null", "-", data=mp4)
        shown += numbers_of(mp4)
    assert len(shown) >= 200
    assert shown == list(range(shown[0], shown[0] + len(shown))), "a picture is missing between two files"


def outside_of_tables(mp4, at):
    """The place nearest before `at` that is not within a fragment's `moof`: ffmpeg plays nothing of a file that ends in one."""
    start = 0
    while start + (size := int.from_bytes(mp4[start:start + 4])) <= at:
        start += size
    return start if mp4[start + 4:start + 8] == b"moof" else at


def test_a_file_that_was_cut_anywhere_plays_up_to_its_last_whole_fragment(camera, tmp_path):
    daemon = camera(RECORD, source=source())
    recorded(daemon, 8)
    _, mp4 = next(files(daemon))
    whole = numbers_of(mp4)
    for part in range(1, 20):
        cut = tmp_path / "cut.mp4"
        cut.write_bytes(mp4[:outside_of_tables(mp4, len(mp4) * part // 20)])
        # It may say that there is less than was promised.
        done = subprocess.run(["ffmpeg", "-v", "quiet", "-i", cut, "-map", "0:v", "-f", "framemd5", "-"], capture_output=True, timeout=60)
        pictures = sum(not line.startswith(b"#") for line in done.stdout.splitlines())
        assert pictures >= (len(whole) * part // 20) // GOP * GOP - GOP, part


def test_playback_is_what_was_recorded_at_the_pace_at_which_it_was(camera):
    daemon = camera(RECORD, source=source())
    start, end = recorded(daemon, 12)
    player = Player(daemon, start + 1, start + 9)
    assert player.ended.wait(40)
    data = bytes(player.data)
    tool("ffmpeg", "-v", "warning", "-xerror", "-f", "flv", "-i", "-", "-f", "null", "-", data=data)
    shown = timecode.pictures(data)
    numbers = [number for number, _ in shown]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "over the border of two files"
    captured = numpy.array([millis for _, millis in shown]) / 1000
    assert start + 1 - GOP / 25 - 0.5 <= captured[0] <= start + 1.1, "from the key frame before"
    assert start + 8.8 <= captured[-1] <= start + 9.1
    stamps = numpy.array([tag.timestamp for tag in flv.tags(data) if tag.is_picture]) / 1000
    assert numpy.abs((stamps - stamps[0]) - (captured - captured[0])).max() < 0.06
    told = json.loads(tool("ffprobe", "-v", "error", "-of", "json", "-show_format", "-f", "flv", "-i", "-", data=data))
    assert abs(float(told["format"]["duration"]) - (start + 9 - captured[0])) < 0.1, "players show its length"
    # Apps open their player anew to seek, and the seek may be there first.
    assert command(daemon, "playback_seek&time=4}") == {"status": "0"}
    sought = Player(daemon, start + 1, start + 9)
    sought.wait_for_more(5)
    first = timecode.pictures(flv.whole(bytes(sought.data)))[0][1] / 1000
    assert start + 5 - GOP / 25 - 0.5 <= first <= start + 5.1, "it begins there, and not where it was asked for"


@pytest.mark.long
def test_sound_and_picture_agree_over_the_borders_of_files(camera):
    # Side by side: recording and playing take as long as what is recorded and played.
    daemons = [camera(text + RECORD, source=source(audio)) for text, audio in (("", "aac"), ('audio = "pass"\n', "pcmu"))]
    spans = [recorded(daemon, max(scaled(600), 17)) for daemon in daemons]
    players = [Player(daemon, *span) for daemon, span in zip(daemons, spans)]

    def judge(media, container, stamps):
        walls = [wall for _, wall in timecode.pictures(media, container)]
        zero = numpy.median(numpy.subtract(walls, stamps))
        assert numpy.abs(numpy.subtract(walls, stamps) - zero).max() <= 40, "pictures by themselves"
        offs = beep.offs(media, container, zero)
        assert len(offs) >= len(walls) // 25 - 2, "beeps are missing"
        assert max(map(abs, offs)) <= 40, f"{container}: beeps are {offs} ms off the second"

    for daemon, (start, end), player in zip(daemons, spans, players):
        for _, mp4 in files(daemon):
            judge(mp4, "mp4", stamps_of(mp4))
        assert player.ended.wait(60 + end - start)
        data = bytes(player.data)
        judge(data, "flv", [tag.timestamp for tag in flv.tags(data) if tag.is_picture])


def test_tricks_show_the_pictures_that_they_should(camera):
    daemon = camera(RECORD, source=source())
    start, end = recorded(daemon, 20)
    player = Player(daemon, start, end)
    player.wait_for_more(5)

    def then(text, more):
        player.tell(text)
        player.wait_for_more(more)

    then("playback_ff&value=1", 12)
    then("playback_rewind&end_time=15000&start_time=9000", 16)
    then("playback_speed&speed=80", 30)
    then("playback_seek&progress=3000", 30)
    then("playback_ff&value=3", 4)
    shown = player.pictures()
    steps = numpy.diff([number for number, _ in shown])
    waits = numpy.diff([stamp for _, stamp in shown])
    assert waits.min() >= 0
    keys = steps == GOP
    assert keys.sum() >= 9 and (waits[keys] >= 195).all() and numpy.median(waits[keys]) == 200, "every key frame, five in a second"
    back = steps == -GOP
    assert back.sum() >= 4 and numpy.median(waits[back]) == 200, "backwards"
    slow = (steps == 1) & (waits == 80)
    assert slow.sum() >= 20, "slow motion"
    third = (steps == 3 * GOP) & (waits == 200)
    assert third.sum() >= 2, "every third key frame"
    normal = (steps == 1) & (numpy.abs(waits - 40) <= 2)
    assert normal.sum() >= 20, "as it was recorded"


def test_a_pause_costs_nothing_and_lasts_as_long_as_it_lasts(camera):
    daemon = camera(RECORD, source=source())
    start, end = recorded(daemon, 8)
    player = Player(daemon, start, start + 6)
    player.wait_for_more(30)
    player.tell("playback_pause")
    before = command(daemon, "playback_progress")["progress"]
    time.sleep(scaled(600) / 10 if scaled(600) < 100 else 600)
    assert command(daemon, "playback_progress")["progress"] == before
    player.tell("playback_resume")
    assert player.ended.wait(40)
    shown = player.pictures()
    assert (numpy.diff([number for number, _ in shown]) == 1).all()
    waits = numpy.diff([stamp for _, stamp in shown])
    assert waits.max() <= 60, "timestamps stood still"


@pytest.mark.long
def test_a_card_with_faults_goes_on_by_itself(camera):
    """Full, pulled and slow, on the schedule of a seed: live never notices, and what is listed plays."""
    faults = f'{{ kind = "sim", every_picture = true, gop = {GOP}, faults = ["card-full", "card-pulled", "slow-disk"], seed = 5 }}'
    daemon = camera(RECORD, source=faults)
    live = flv.whole(daemon.record(max(scaled(600), 45), quality="standard"))
    numbers = [number for number, _ in timecode.pictures(live)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "live has noticed"
    wait_for(lambda: json.load(urllib.request.urlopen(f"{daemon.base}/healthz"))["recording"]["problem"] is None)
    played = [number for _, mp4 in files(daemon) for number in numbers_of(mp4)]
    assert len(played) >= 200
    assert played == sorted(set(played)), "nothing twice"
    assert daemon.metric("peercam_record_lost_card_total") > 0, "the faults have struck"
