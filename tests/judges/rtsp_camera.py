"""A foreign camera: GStreamer's RTSP server with the simulated camera's picture, whose time code it
keeps. Runs under Debian's Python, which has GStreamer's bindings.

    rtsp_camera.py LIVE_URL [--codec h264|h265] [--audio aac|pcma|none] [--password WORD [--basic]] [--loss 0.02]
    rtsp_camera.py FILE.mp4 [--codec h264|h265] [--loss 0.02]

LIVE_URL is a peercam's `/ipc.flv?action=live…`. Prints the port it listens on; the picture is at /cam, or where --path says.
A line `quality WORD` on its input changes the size in mid-stream.
"""

import argparse
import sys
import threading
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

# In tests/judges, beside this file.
import flv_stream  # noqa: E402


class Feeder(threading.Thread):
    """Reads the live stream and pushes it into one media's pipeline."""

    def __init__(self, camera, element):
        super().__init__(daemon=True)
        self.camera, self.element = camera, element
        self.video = element.get_by_name("video")
        self.audio = element.get_by_name("audio")
        self.stopped = False

    def run(self):
        offset, last = None, 0
        while not self.stopped:
            quality = self.camera.quality
            start = None
            with urllib.request.urlopen(f"{self.camera.url}&quality={quality}", timeout=20) as answer:
                for kind, stamp, data in flv_stream.tags(answer):
                    if self.stopped or (quality != self.camera.quality and kind == 9 and data[0] >> 4 == 1):
                        break
                    if kind not in (8, 9):
                        continue
                    if start is None:
                        start = stamp
                        now = self.running_time()
                        offset = max(now, last + 40 * Gst.MSECOND)
                    pts = offset + (stamp - start) * Gst.MSECOND
                    last = max(last, pts)
                    if not self.push(kind, data, pts):
                        return

    def running_time(self):
        clock = self.element.get_clock()
        if clock is None:
            return 0
        return max(0, clock.get_time() - self.element.get_base_time())

    def push(self, kind, data, pts):
        source = self.video if kind == 9 else self.audio
        if source is None:
            return True
        if kind == 9:
            config, payload = data[1] == 0, data[5:]
            caps = "video/x-h264,stream-format=avc,alignment=au,framerate=25/1,codec_data=(buffer)"
        elif data[0] >> 4 == 10:
            config, payload = data[1] == 0, data[2:]
            caps = "audio/mpeg,mpegversion=4,stream-format=raw,rate=16000,channels=1,codec_data=(buffer)"
        else:
            config, payload, caps = False, data[1:], ""
            source.set_property("caps", Gst.Caps.from_string("audio/x-alaw,rate=8000,channels=1"))
        if config:
            source.set_property("caps", Gst.Caps.from_string(caps + payload.hex()))
            return True
        buffer = Gst.Buffer.new_wrapped(payload)
        buffer.pts = pts
        return source.emit("push-buffer", buffer) == Gst.FlowReturn.OK


class Camera(GstRtspServer.RTSPMediaFactory):
    def __init__(self, options):
        super().__init__()
        self.url, self.quality = options.source, "standard"
        self.set_shared(True)
        self.set_latency(0)
        source = "appsrc is-live=true format=time max-bytes=4000000"
        # What is lost on the way is lost behind the packer, so that the numbers of packets show it.
        pay = "name=pay0" if not options.loss else f"! identity name=pay0 drop-probability={options.loss}"
        if options.source.startswith("http"):
            video = {
                "h264": f"h264parse config-interval=-1 ! rtph264pay pt=96 aggregate-mode=zero-latency {pay}",
                "h265": "h264parse ! avdec_h264 ! x265enc speed-preset=ultrafast tune=zerolatency key-int-max=25 "
                        f"bitrate=1500 ! h265parse config-interval=-1 ! rtph265pay pt=96 {pay}",
            }[options.codec]
            audio = {
                "aac": f"{source} name=audio ! aacparse ! rtpmp4gpay name=pay1 pt=97",
                "pcma": f"{source} name=audio ! rtppcmapay name=pay1 pt=8",
                "none": "",
            }[options.audio]
            self.set_launch(f"( {source} name=video ! {video} {audio} )")
            self.connect("media-configure", self.feed)
        else:
            codec = options.codec
            self.set_launch(f"( filesrc location={options.source} ! qtdemux name=d "
                            f"d.video_0 ! queue ! {codec}parse config-interval=-1 ! rtp{codec}pay pt=96 {pay} "
                            "d.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )")

    def feed(self, _factory, media):
        feeder = Feeder(self, media.get_element())
        media.connect("unprepared", lambda _media: setattr(feeder, "stopped", True))
        feeder.start()

    def listen(self):
        for line in sys.stdin:
            word, value = line.split()
            if word == "quality":
                self.quality = value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", default="0")
    parser.add_argument("--path", default="/cam")
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--audio", default="aac")
    parser.add_argument("--loss", type=float, default=0)
    parser.add_argument("--password")
    parser.add_argument("--basic", action="store_true")
    options = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address(options.address)
    server.set_service(options.port)
    camera = Camera(options)
    if options.password:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
        if options.basic:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic("admin", options.password), token)
        else:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest("admin", options.password, token)
        server.set_auth(auth)
        access = GstRtspServer.RTSPPermissions()
        access.add_permission_for_role("viewer", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
        access.add_permission_for_role("viewer", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
        camera.set_permissions(access)
    server.get_mount_points().add_factory(options.path, camera)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    threading.Thread(target=camera.listen, daemon=True).start()
    GLib.MainLoop().run()


main()
