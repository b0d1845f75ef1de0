"""The tags of an FLV stream as they come."""


def tags(stream):
    """(kind, timestamp, data) of each tag, until the stream ends."""
    head = stream.read(13)
    assert head[:3] == b"FLV", head
    while len(head := stream.read(11)) == 11:
        size = int.from_bytes(head[1:4], "big")
        stamp = int.from_bytes(head[4:7], "big") | head[7] << 24
        data = stream.read(size)
        stream.read(4)
        yield head[0], stamp, data
