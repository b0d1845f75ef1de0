//! Every message, byte for byte as `docs/hal-socket.md` has it.

use bytes::Bytes;

use super::*;
use crate::{
    credential::{CredentialId, Scope, Scopes},
    media::{AudioCodec, MediaTime, VideoCodec},
    nal::Framing,
};

fn parse(bytes: &[u8]) -> Result<FromFirmware, MessageError> {
    let (head, body) = bytes.split_first_chunk().expect("a head");
    let head = Head::parse(head)?;
    assert_eq!(head.length, body.len(), "the length is that of the body");
    FromFirmware::parse(head, Bytes::copy_from_slice(body))
}

fn message(kind: u8, quality: u8, channel: u16, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut out = (body.len() as u32).to_le_bytes().to_vec();
    out.extend([kind, quality]);
    out.extend(channel.to_le_bytes());
    out.extend(body);
    out
}

/// The bytes are those of `docs/hal-socket.md`, written here by hand.
#[test]
fn messages_of_firmware() {
    let stream = StreamId {
        channel: ChannelId(258),
        quality: Quality::Super,
    };
    let time = MediaTime::from_micros(1_000_000);
    let million = 1_000_000_i64.to_le_bytes();
    for (bytes, expected) in [
        (
            message(1, 0, 0, &[b"PCAM", &[1, 0], b"T31\n"]),
            FromFirmware::Hello {
                version: 1,
                name: "T31".to_owned(),
            },
        ),
        (
            message(
                2,
                2,
                258,
                &[
                    &[1, 1, 1, 3],
                    &16_000_u32.to_le_bytes(),
                    &25_000_u32.to_le_bytes(),
                    &[0x14, 0x08],
                ],
            ),
            FromFirmware::Stream(
                stream,
                StreamInfo {
                    video: Some(VideoCodec::H264),
                    frame_rate: 25.0,
                    audio: Some(Sound {
                        codec: AudioCodec::Aac,
                        sample_rate: 16_000,
                        channels: 1,
                        config: Bytes::from_static(&[0x14, 0x08]),
                    }),
                    forces_keys: true,
                    sets_bitrate: true,
                },
            ),
        ),
        (
            message(
                3,
                2,
                258,
                &[&million, &40_000_i32.to_le_bytes(), &[1, 0, 0, 0], b"unit"],
            ),
            FromFirmware::Picture {
                stream,
                time,
                composition_micros: 40_000,
                framing: Framing::Lengths,
                data: Bytes::from_static(b"unit"),
            },
        ),
        (
            message(4, 2, 258, &[&million, b"sound"]),
            FromFirmware::Sound {
                stream,
                time,
                data: Bytes::from_static(b"sound"),
            },
        ),
        (
            message(5, 2, 258, &[b"lens cover"]),
            FromFirmware::Offline(stream, "lens cover".to_owned()),
        ),
        (
            message(6, 0, 258, &[&[0x85, 0, 0, 0]]),
            FromFirmware::Abilities(
                ChannelId(258),
                Abilities {
                    ptz: true,
                    speaker: true,
                    format: true,
                    ..Abilities::default()
                },
            ),
        ),
        (
            message(7, 0, 258, &[&[0xff; 4], &[2, 0, 0, 0], &[0; 16]]),
            FromFirmware::Position(ChannelId(258), [-1, 2, 0, 0, 0, 0]),
        ),
        (
            message(8, 0, 0, &[&[7, 0, 0, 0], &[1, 0, 0, 0], b"no"]),
            FromFirmware::Answer {
                id: 7,
                done: false,
                data: Bytes::from_static(b"no"),
            },
        ),
        (
            message(9, 2, 258, &[&[44, 1, 0, 0]]),
            FromFirmware::Dropped(stream, 300),
        ),
    ] {
        assert_eq!(parse(&bytes), Ok(expected), "{bytes:?}");
    }
}

#[test]
fn messages_of_the_daemon() {
    let channel = ChannelId(258);
    let stream = StreamId {
        channel,
        quality: Quality::High,
    };
    for (said, kind, quality, body) in [
        (ToFirmware::Goodbye("why"), 65, 0, &b"why"[..]),
        (ToFirmware::Watch(stream, true), 66, 1, &[1]),
        (ToFirmware::KeyFrame(stream), 67, 1, &[]),
        (ToFirmware::Bitrate(stream, 300), 68, 1, &[44, 1, 0, 0]),
        (ToFirmware::Turn(channel, -1, 1, 9), 69, 0, &[0xff, 1, 9]),
        (ToFirmware::Flip(channel, false), 70, 0, &[0]),
        (
            ToFirmware::TalkStart {
                channel,
                coding: TalkCoding::Aac,
                channels: 1,
                sample_rate: 300,
                config: &[0x14],
            },
            71,
            0,
            &[2, 1, 0, 0, 44, 1, 0, 0, 0x14],
        ),
        (ToFirmware::Talk(channel, b"block"), 72, 0, b"block"),
        (ToFirmware::TalkStop(channel), 73, 0, &[]),
        (ToFirmware::Snapshot(channel, 5), 74, 0, &[5, 0, 0, 0]),
        (
            ToFirmware::Command(channel, 5, "x"),
            75,
            0,
            &[5, 0, 0, 0, b'x'],
        ),
        (ToFirmware::Reboot(channel, 5), 76, 0, &[5, 0, 0, 0]),
        (ToFirmware::Format(channel, 5), 77, 0, &[5, 0, 0, 0]),
        (ToFirmware::Dropped(stream, 300), 78, 1, &[44, 1, 0, 0]),
        (
            ToFirmware::Caller {
                channel,
                id: 5,
                scopes: Scopes::from_iter([Scope::Live, Scope::Admin]),
                credential: Some(("shop", CredentialId::new([9; 16]))),
            },
            79,
            0,
            b"\x05\0\0\0\x81\0\0\0\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09shop",
        ),
        (
            ToFirmware::Caller {
                channel,
                id: 5,
                scopes: Scopes::ALL,
                credential: None,
            },
            79,
            0,
            b"\x05\0\0\0\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
    ] {
        let whose = if kind == 65 { 0 } else { 258 };
        assert_eq!(
            said.encode(),
            message(kind, quality, whose, &[body]),
            "{said:?}"
        );
    }
    assert_eq!(ToFirmware::Welcome.encode(), message(64, 0, 0, &[&[1, 0]]));
}

#[test]
fn what_is_no_message_is_told_apart() {
    let head = |length: u32, kind: u8| {
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4] = kind;
        Head::parse(&head)
    };
    for kind in 1..=9 {
        let most = match kind {
            3 | 8 => LARGEST_BODY,
            4 => LARGEST_SOUND,
            _ => LARGEST_NOTE,
        };
        assert!(head(most as u32, kind).is_ok());
        let length = most + 1;
        let too_long = MessageError::TooLong { kind, length, most };
        assert_eq!(head(length as u32, kind), Err(too_long));
    }
    for kind in [0, 10, 64, 255] {
        assert_eq!(head(0, kind), Err(MessageError::Unknown(kind)));
    }
    for kind in 1..=9 {
        let needed = [6, 12, 16, 9, 0, 4, 24, 8, 4][usize::from(kind) - 1];
        for length in 0..needed {
            let parsed = parse(&message(kind, 0, 0, &[&vec![0; length]]));
            assert_eq!(parsed, Err(MessageError::TooShort(kind)), "{kind} {length}");
        }
    }
    for (quality, body) in [
        (3, &[0; 16][..]),
        (0, &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (0, &[0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (0, &[0, 2, 3, 0, 0x40, 0x1f, 0, 0, 0, 0, 0, 0]),
        (0, &[0, 2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        let parsed = parse(&message(2, quality, 0, &[body]));
        assert!(
            matches!(parsed, Err(MessageError::Meaningless { .. })),
            "{parsed:?}"
        );
    }
    let other = parse(&message(1, 0, 0, &[b"PCAN", &[1, 0]]));
    assert!(matches!(other, Ok(FromFirmware::Hello { version: 0, .. })));
}
