"""Files as cameras, made by ffmpeg and judged by it; H.265 judged by PyAV and by its elementary stream."""

import io
import json
import subprocess

import av
import pytest

from conftest import PROGRAM, scaled, tool
import flv

PICTURE = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25"]
SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"]


def make(path, *codecs, seconds=2):
    tool("ffmpeg", "-v", "error", "-y", *PICTURE, *SOUND, "-t", str(seconds), *codecs, str(path))
    return path


def h264(*more):
    return ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", *more]


HEVC = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=25",
        "-pix_fmt", "yuv420p"]
AAC = ["-c:a", "aac"]
ALAW = ["-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"]
MULAW = ["-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"]


def source(path, audio="silence"):
    return '{ kind = "file", path = "%s", audio = "%s" }' % (path, audio)


def check_seams(stream, video_step=40):
    """Timestamps never go back; pictures keep their distance, over the loop too.

    At the seam a picture may wait for the sound, which AAC makes up to four blocks longer."""
    tags = [tag for tag in flv.tags(stream) if not tag.is_header]
    pictures = [tag.timestamp for tag in tags if tag.is_picture]
    steps = [b - a for a, b in zip(pictures, pictures[1:])]
    while steps and steps[0] == 1:  # the squeezed GOP of the join
        steps.pop(0)
    odd = [step for step in steps if not video_step - 2 <= step <= video_step + 4 * 24]
    assert not odd, f"{odd} ms from picture to picture"
    sounds = [tag.timestamp for tag in tags if tag.is_audio]
    gaps = [b - a for a, b in zip(sounds, sounds[1:])]
    odd = [gap for gap in gaps if not 0 < gap <= 128]
    assert not odd, f"{odd} ms from sound to sound"
    return pictures


@pytest.mark.parametrize("name,codecs,audio", [
    ("bframes.mp4", h264("-bf", "2") + AAC, "silence"),
    ("plain.mp4", h264("-bf", "0") + AAC, "pass"),
    ("faststart.mp4", h264("-bf", "0") + AAC + ["-movflags", "+faststart"], "silence"),
    ("alaw.mov.mp4", h264("-bf", "0") + ALAW + ["-f", "mov"], "silence"),
    ("mulaw.mov.mp4", h264("-bf", "2") + MULAW + ["-f", "mov"], "pass"),
    ("silent.mp4", h264() + ["-an"], "silence"),
    ("aac.flv", h264("-bf", "2") + AAC, "silence"),
    ("alaw.flv", h264("-bf", "0") + ALAW, "pass"),
    ("mulaw.flv", h264("-bf", "0") + MULAW, "silence"),
])
def test_a_looped_file_decodes_without_a_warning(camera, tmp_path, name, codecs, audio):
    daemon = camera(source=source(make(tmp_path / name, *codecs), audio))
    stream = flv.whole(daemon.record(scaled(60) + 3))
    headers = [tag for tag in flv.tags(stream) if tag.is_audio and tag.is_header]
    assert len(headers) == (0 if "law" in name and audio == "pass" else 1), "AAC unless it is passed"
    pictures = check_seams(stream)
    assert pictures[-1] > 3500, "it looped"
    assert flv.tags(stream)[-1].timestamp < 80_000
    tool("ffmpeg", "-v", "warning", "-xerror", "-f", "flv", "-i", "-", "-f", "null", "-", data=stream)
    count = tool("ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-of", "json",
                 "-show_entries", "stream=nb_read_frames", "-f", "flv", "-i", "-", data=stream)
    assert int(json.loads(count)["streams"][0]["nb_read_frames"]) == len(pictures)


def test_sound_and_picture_stay_together(camera, tmp_path):
    """A flash and a click every second, 10 times: their distance survives the way through."""
    path = tmp_path / "flash.mp4"
    tool("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i",
         "color=black:size=320x240:rate=25:duration=4,geq=lum='if(lt(mod(T,1),0.04),235,16)':cb=128:cr=128",
         "-f", "lavfi", "-i",
         "aevalsrc='if(lt(mod(t,1),0.04),sin(2*PI*1000*t),0)':sample_rate=44100:duration=4",
         *h264("-bf", "2"), *AAC, str(path))
    stream = flv.whole(camera(source=source(path)).record(5))
    with av.open(io.BytesIO(stream), format="flv") as container:
        flashes, clicks = [], []
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                if frame.to_ndarray(format="gray").mean() > 150:
                    flashes.append(frame.time)
            else:
                samples = abs(frame.to_ndarray()[0])
                if samples.max() > 0.3:
                    at = frame.time + (samples > 0.3).argmax() / frame.sample_rate
                    if not clicks or at - clicks[-1] > 0.5:
                        clicks.append(at)
    settled = [flash for flash in flashes if flash > 1]
    assert len(settled) >= 3
    for flash in settled:
        nearest = min(abs(flash - click) for click in clicks)
        assert nearest <= 0.045, f"{nearest * 1000:.0f} ms apart at {flash:.2f} s"


@pytest.mark.parametrize("container", ["mp4", "flv"])
def test_h265_as_codec_id_12(camera, tmp_path, container):
    path = hevc_file(tmp_path, container)
    stream = flv.whole(camera(source=source(path)).record(4))
    pictures = [tag for tag in flv.tags(stream) if tag.is_picture]
    assert all(tag.data[0] & 15 == 12 and not tag.is_enhanced for tag in flv.tags(stream) if tag.is_video)
    check_seams(stream)
    raw = flv.hevc_elementary_stream(stream)
    tool("ffmpeg", "-v", "warning", "-xerror", "-f", "hevc", "-i", "-", "-f", "null", "-", data=raw)
    decoded = tool("ffmpeg", "-v", "error", "-f", "hevc", "-i", "-", "-vf", "scale=2:2", "-pix_fmt", "gray",
                   "-f", "rawvideo", "-", data=raw)
    assert len(decoded) // 4 == len(pictures)


@pytest.mark.parametrize("container", ["mp4", "flv"])
def test_h265_as_hvc1(camera, tmp_path, container):
    path = hevc_file(tmp_path, container)
    daemon = camera('[live]\nhevc = "hvc1"\n', source=source(path))
    stream = flv.whole(daemon.record(4))
    pictures = [tag for tag in flv.tags(stream) if tag.is_picture]
    assert all(tag.is_enhanced and tag.data[1:5] == b"hvc1" for tag in flv.tags(stream) if tag.is_video)
    check_seams(stream)
    with av.open(io.BytesIO(stream), format="flv") as opened:
        video = opened.streams.video[0]
        assert video.codec_context.name == "hevc"
        decoded = list(opened.decode(video))
    assert len(decoded) == len(pictures)
    times = [frame.pts for frame in decoded]
    assert times == sorted(times) and len(set(times)) == len(times)


def hevc_file(tmp_path, container):
    """Debian's ffmpeg cannot write H.265 into FLV, so PyAV copies it there."""
    mp4 = make(tmp_path / "hevc.mp4", *HEVC, *AAC)
    if container == "mp4":
        return mp4
    path = tmp_path / "hevc.flv"
    with av.open(str(mp4)) as read, av.open(str(path), "w", format="flv") as write:
        streams = {stream.index: write.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                write.mux(packet)
    return path


@pytest.mark.parametrize("name,codecs,words", [
    ("vp9.mp4", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-b:v", "200k", "-an"],
     ["video track", "vp09", "H.264 and H.265"]),
    ("opus.mp4", h264() + ["-c:a", "libopus", "-strict", "-2"], ["audio track", "Opus", "G.711"]),
    ("mp3.flv", h264() + ["-c:a", "libmp3lame"], ["audio track", "SoundFormat 2", "AAC"]),
    ("old.flv", ["-c:v", "flv1", "-an"], ["video track", "CodecID 2", "H.264"]),
    ("fragmented.mp4", h264() + AAC + ["-movflags", "frag_keyframe+empty_moov"], ["fragmented", "-c copy"]),
])
def test_what_cannot_be_played_is_said(tmp_path, name, codecs, words):
    path = make(tmp_path / name, *codecs, seconds=1)
    check_refused(tmp_path, path, words)


@pytest.mark.parametrize("container", ["mp4", "flv"])
def test_a_cut_copy_is_said(tmp_path, container):
    path = make(tmp_path / f"cut.{container}", *h264("-bf", "0"), *AAC, "-movflags", "+faststart")
    path.write_bytes(path.read_bytes()[:-2000])
    check_refused(tmp_path, path, ["cut"])


def check_refused(tmp_path, path, words):
    config = tmp_path / "camera.toml"
    config.write_text(f"[[channel]]\nid = 0\nsource = {source(path)}\n")
    for command in ["check", "run"]:
        done = subprocess.run([PROGRAM, command, "--config", str(config)], capture_output=True, text=True,
                              timeout=20)
        assert done.returncode == 1, done
        assert done.stderr.count("\n") == 1 and path.name in done.stderr, done.stderr
        assert all(word in done.stderr for word in words), done.stderr
