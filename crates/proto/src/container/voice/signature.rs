//! Format of a body, by its first bytes.
//!
//! Formats that are not taken are known here too, so that a refusal can name them.

use super::{Declared, adts::is_adts};

/// Number of first bytes that tell most formats apart.
pub(super) const SNIFFED: usize = 12;

/// Format that a body begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Not decidable before more of it has come.
    Open,
    Flv,
    Wav,
    Adts,
    /// A format that is not taken.
    Foreign(&'static str),
    /// No known signature.
    Nothing,
}

/// Signatures of formats that are not taken: offset, bytes and name.
const FOREIGN: [(usize, &[u8], &str); 43] = [
    (0, b"ID3", "MP3, or sound behind an ID3 tag"),
    (0, b"OggS", "Ogg"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (4, b"ftyp", "MP4 (M4A, 3GP, MOV)"),
    (4, b"styp", "fragmented MP4"),
    (4, b"moov", "MP4 (M4A, 3GP, MOV)"),
    (4, b"moof", "fragmented MP4"),
    (4, b"sidx", "fragmented MP4"),
    (4, b"emsg", "fragmented MP4"),
    (4, b"mdat", "MP4 (M4A, 3GP, MOV)"),
    (4, b"wide", "QuickTime"),
    (4, b"skip", "QuickTime"),
    (4, b"free", "QuickTime"),
    (0, b"#!AMR", "AMR"),
    (0, b"#!SILK", "SILK"),
    (1, b"#!SILK", "SILK"),
    (0, b"#!EVRC", "EVRC"),
    (0, b"fLaC", "FLAC"),
    (0, b"FORM", "AIFF"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"RIFX", "RIFX"),
    (0, b"RF64", "RF64"),
    (0, b"BW64", "BW64"),
    (0, b"riff\x2e\x91\xcf\x11", "Wave64"),
    (0, b"RIFF", "RIFF without WAVE, such as AVI"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF (WMA, WMV)"),
    (0, b"\0\0\x01\xba", "MPEG program stream"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"TTA1", "TTA"),
    (0, b"DSD ", "DSD"),
    (0, b"APETAGEX", "sound behind an APE tag"),
    (0, b"ADIF", "AAC with an ADIF head"),
    (0, b"MThd", "MIDI"),
    (0, b"OpusHead", "Opus"),
    (0, b"Creative Voi", "VOC"),
    (0, b"data:", "a data URL"),
    (0, b"%PDF", "PDF"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"\x89PNG", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
];

/// Detects the format of a body by its first bytes; `is_all` if there are no more.
///
/// Signatures of three bytes and more are none by chance. The 12 bits that begin a frame of AAC or
/// MP3 may be samples, so they count only where the body is not said to be bare PCM, and those of
/// MP3 only if a second frame follows.
pub(super) fn look(head: &[u8], declared: &Declared, is_all: bool) -> Start {
    if head.len() < SNIFFED && !is_all {
        return Start::Open;
    }
    if head.starts_with(b"FLV") {
        return Start::Flv;
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE") {
        return Start::Wav;
    }
    let has = |(at, signature, _): &&(usize, &[u8], _)| {
        head.get(*at..)
            .is_some_and(|rest| rest.starts_with(signature))
    };
    if let Some((_, _, name)) = FOREIGN.iter().find(has) {
        return Start::Foreign(name);
    }
    if is_text(&head[..head.len().min(SNIFFED)]) {
        return Start::Foreign("text (JSON, HTML, a form)");
    }
    if declared.is_bare() {
        return Start::Nothing;
    }
    if is_adts(head) {
        return Start::Adts;
    }
    mp3(head, is_all)
}

/// Returns whether it begins as JSON, HTML, XML or a multipart form do, with or without a byte order
/// mark.
fn is_text(start: &[u8]) -> bool {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character that is cut off.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_printed = |letter: char| !letter.is_control() || letter.is_ascii_whitespace();
    let rest = text.trim_start();
    text.chars().all(is_printed)
        && (rest.starts_with(['{', '[', '<', '"']) || rest.starts_with("--"))
}

/// Detects MPEG audio by two frame heads in a row: one may be samples.
fn mp3(head: &[u8], is_all: bool) -> Start {
    let frame = |at: usize| Some(mpeg_frame(*head.get(at..)?.first_chunk()?));
    let Some(Some((kind, length))) = frame(0) else {
        return Start::Nothing;
    };
    match frame(length) {
        Some(Some((next, _))) if next == kind => Start::Foreign("MP3"),
        Some(_) => Start::Nothing,
        None if is_all => Start::Foreign("MP3"),
        None => Start::Open,
    }
}

/// Fields that all frame heads of one MPEG stream share, and the length of this frame; `None` if it is
/// no head of layer 2 or 3 (ISO/IEC 11172-3, 2.4.1.3; 13818-3).
fn mpeg_frame([sync, flags, rates, _]: [u8; 4]) -> Option<((u8, u8), usize)> {
    /// kbit/s.
    const LAYER_2: [usize; 15] = [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
    ];
    const LAYER_3: [usize; 15] = [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ];
    const LOWER: [usize; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    // Version 3 is MPEG-1, 2 is MPEG-2, 0 is MPEG-2.5, 1 is reserved; layer 3 has code 1, layer 2 code 2.
    let (version, layer) = (flags >> 3 & 3, flags >> 1 & 3);
    if sync != 0xff || flags & 0xe0 != 0xe0 || version == 1 {
        return None;
    }
    let is_first = version == 3;
    let (table, samples) = match (layer, is_first) {
        (2, true) => (LAYER_2, 1152),
        (2, false) => (LOWER, 1152),
        (1, true) => (LAYER_3, 1152),
        (1, false) => (LOWER, 576),
        _ => return None,
    };
    let bits = *table
        .get(usize::from(rates >> 4))
        .filter(|&&rate| rate > 0)?
        * 1000;
    let rate = *[44_100, 48_000, 32_000].get(usize::from(rates >> 2 & 3))?;
    let rate = rate
        >> match version {
            3 => 0,
            2 => 1,
            _ => 2,
        };
    let length = samples / 8 * bits / rate + usize::from(rates >> 1 & 1);
    // Without the bits that differ from frame to frame: CRC, bit rate and padding.
    Some(((flags & 0xfe, rates & 0x0c), length))
}
