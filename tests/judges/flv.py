"""FLV taken apart, written from the format's specification and not from the daemon's code."""

from typing import NamedTuple


class Tag(NamedTuple):
    kind: int
    timestamp: int
    data: bytes

    @property
    def is_video(self):
        return self.kind == 9

    @property
    def is_audio(self):
        return self.kind == 8

    @property
    def is_enhanced(self):
        return bool(self.data[0] & 0x80)

    @property
    def is_header(self):
        """A sequence header: video configuration or AAC configuration."""
        if self.is_video:
            return (self.data[0] & 15) == 0 if self.is_enhanced else self.data[1] == 0
        return self.is_audio and self.data[0] >> 4 == 10 and self.data[1] == 0

    @property
    def is_picture(self):
        return self.is_video and not self.is_header

    @property
    def is_key(self):
        return self.is_picture and self.data[0] >> 4 & 7 == 1

    @property
    def composition(self):
        if self.is_enhanced:
            if self.data[0] & 15 != 1:
                return 0
            raw = self.data[5:8]
        else:
            raw = self.data[2:5]
        value = int.from_bytes(raw, "big")
        return value - (1 << 24) if value >= 1 << 23 else value

    @property
    def payload(self):
        """What is handed to the decoder."""
        if self.is_video:
            if self.is_enhanced:
                return self.data[8 if self.data[0] & 15 == 1 else 5:]
            return self.data[5:]
        return self.data[2:] if self.data[0] >> 4 == 10 else self.data[1:]


def tags(data):
    """Whole tags of a stream that may break off anywhere; checks every length on the way."""
    assert data[:3] == b"FLV" and data[3] == 1, data[:16]
    assert int.from_bytes(data[5:9], "big") == 9 and data[9:13] == bytes(4)
    at, found = 13, []
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1:at + 4], "big")
        end = at + 11 + size
        if end + 4 > len(data):
            break
        stamp = int.from_bytes(data[at + 4:at + 7], "big") | data[at + 7] << 24
        assert data[at + 8:at + 11] == bytes(3), "the stream id is always 0"
        assert int.from_bytes(data[end:end + 4], "big") == 11 + size, "PreviousTagSize"
        found.append(Tag(data[at], stamp, data[at + 11:end]))
        at = end + 4
    return found


def joined(parts, head=b"FLV\1\5" + (9).to_bytes(4, "big") + bytes(4)):
    """A stream of these tags."""
    return head + b"".join(
        bytes([tag.kind]) + len(tag.data).to_bytes(3, "big")
        + (tag.timestamp & 0xFFFFFF).to_bytes(3, "big") + bytes([tag.timestamp >> 24]) + bytes(3)
        + tag.data + (11 + len(tag.data)).to_bytes(4, "big") for tag in parts)


def whole(data):
    """The stream, cut behind its last whole tag."""
    return joined(tags(data), data[:13])


def nal_units(sample):
    """NAL units behind 4-byte lengths."""
    while sample:
        size = int.from_bytes(sample[:4], "big")
        assert len(sample) >= 4 + size, "a NAL unit runs over the end of its sample"
        yield sample[4:4 + size]
        sample = sample[4 + size:]


def hevc_elementary_stream(data):
    """Annex B H.265 from the tags of a stream: parameter sets out of hvcC, then every picture."""
    out = bytearray()
    for tag in tags(data):
        if not tag.is_video:
            continue
        if tag.is_header:
            record = tag.payload
            at = 23
            for _ in range(record[22]):
                count = int.from_bytes(record[at + 1:at + 3], "big")
                at += 3
                for _ in range(count):
                    size = int.from_bytes(record[at:at + 2], "big")
                    out += b"\0\0\0\1" + record[at + 2:at + 2 + size]
                    at += 2 + size
        else:
            for unit in nal_units(tag.payload):
                out += b"\0\0\0\1" + unit
    return bytes(out)
