//! Packets of a camera, put together to frames within a bound.
//!
//! The library does that too, and holds whatever a camera sends until a frame is whole. So its
//! parts are used one by one here, and what they hold is counted. They are not part of what the
//! library promises: its version is fixed in `Cargo.toml`.

use std::{future::poll_fn, pin::Pin};

use futures_core::Stream as _;
use peercam_proto::nal::{Framing, units};
use retina::{
    client::{PacketItem, Playing, Session as Client, Stream},
    codec::{CodecItem, Depacketizer, FrameFormat, ParametersRef},
    rtp::{PacketMeta, ReceivedPacket},
    testutil::DepacketizeBuf,
};

use super::session::Failure;
use crate::StreamMemory;

/// Upper bound of a frame that is being assembled, in bytes before it is whole: the largest that anybody gets, and half of it for what
/// its packets cost.
pub(super) const fn most(memory: StreamMemory) -> usize {
    memory.picture + memory.picture / 2
}

/// Cost of a packet or a NAL unit beside its bytes.
const PART: usize = 64;
/// Room for a packet to begin with.
const FIRST_CAPACITY: usize = 16 << 10;

/// A camera that plays, packet by packet.
pub(super) struct Packets {
    session: Client<Playing>,
    /// Tracks in the order of the description; `None` for those that were not asked for.
    tracks: Vec<Option<Track>>,
    /// The one that may have more frames.
    pulling: Option<usize>,
}

struct Track {
    depacketizer: Depacketizer,
    buffer: DepacketizeBuf,
    /// The type of NAL units that carry others, at which place of the header.
    aggregate: Option<(u8, u8)>,
    /// Weight of what has come since the last frame.
    weight: usize,
    /// Weight that may come before it ends.
    most: usize,
}

/// Depacketizer of a track.
pub(super) struct Assembly(Depacketizer);

impl Assembly {
    /// Returns an assembly for each stream of a description; `None` for formats that are not known.
    pub(super) fn all(sdp: &[u8], streams: &[Stream]) -> Vec<Option<Self>> {
        let sdp = String::from_utf8_lossy(sdp);
        let parameters = format_parameters(&sdp, streams);
        let assemblies = streams.iter().zip(parameters).map(|(stream, parameters)| {
            let mut depacketizer = Depacketizer::new(
                stream.media(),
                stream.encoding_name(),
                stream.clock_rate_hz(),
                stream.channels(),
                parameters,
            );
            if let Ok(depacketizer) = &mut depacketizer {
                depacketizer.set_frame_format(FrameFormat::MP4);
            }
            depacketizer.ok().map(Self)
        });
        assemblies.collect()
    }
}

impl Packets {
    pub(super) fn new(
        session: Client<Playing>,
        assemblies: Vec<Option<Assembly>>,
        memory: StreamMemory,
    ) -> Self {
        let tracks = assemblies.into_iter().zip(session.streams());
        let tracks = tracks.map(|(assembly, stream)| {
            let Assembly(depacketizer) = assembly?;
            Some(Track {
                depacketizer,
                buffer: DepacketizeBuf::new(FIRST_CAPACITY),
                aggregate: match stream.encoding_name() {
                    "h264" => Some((24, 0)),
                    "h265" => Some((48, 1)),
                    _ => None,
                },
                weight: 0,
                most: most(memory),
            })
        });
        Self {
            tracks: tracks.collect(),
            session,
            pulling: None,
        }
    }

    /// Returns the decoder configuration of the newest frame of a track, as far as that is known.
    pub(super) fn parameters(&self, track: usize) -> Option<ParametersRef<'_>> {
        self.tracks.get(track)?.as_ref()?.depacketizer.parameters()
    }

    /// Waits for what comes next; `None` at the end. Cancel-safe.
    ///
    /// # Errors
    /// [`Failure`] if the connection is of no use any more, also because a frame does not end.
    pub(super) async fn next(&mut self) -> Result<Option<CodecItem>, Failure> {
        loop {
            if let Some(item) = self.pull()? {
                return Ok(Some(item));
            }
            let next = poll_fn(|context| Pin::new(&mut self.session).poll_next(context));
            match next.await {
                None => return Ok(None),
                Some(Err(error)) => return Err(Failure::new(&error)),
                Some(Ok(PacketItem::Rtcp(packet))) => return Ok(Some(CodecItem::Rtcp(packet))),
                Some(Ok(PacketItem::Rtp(packet))) => {
                    let place = packet.stream_id();
                    if let Some(Some(track)) = self.tracks.get_mut(place) {
                        track.push(&packet)?;
                        self.pulling = Some(place);
                    }
                }
                Some(Ok(_)) => {}
            }
        }
    }

    fn pull(&mut self) -> Result<Option<CodecItem>, Failure> {
        let pulling = self.pulling.and_then(|place| self.tracks[place].as_mut());
        let Some(track) = pulling else {
            return Ok(None);
        };
        match track.depacketizer.pull() {
            Some(Ok(item)) => {
                track.weight = 0;
                Ok(Some(item))
            }
            Some(Err(_)) => Err(Failure::Other("its packets make no frame".to_owned())),
            None => {
                self.pulling = None;
                Ok(None)
            }
        }
    }
}

impl Track {
    fn push(&mut self, packet: &ReceivedPacket) -> Result<(), Failure> {
        self.weight += weight(self.aggregate, packet.payload());
        if self.weight > self.most {
            let kib = self.most >> 10;
            let reason = format!(
                "a picture of it has more than {kib} KiB, or no end; a lower resolution or bit rate helps"
            );
            return Err(Failure::Other(reason));
        }
        let meta = PacketMeta::from_received(packet);
        let pushed = self
            .buffer
            .push(&mut self.depacketizer, meta, packet.payload());
        pushed.map_err(|reason| Failure::said(&reason))
    }
}

/// Cost of a packet: its bytes, and what is noted of each NAL unit that begins in it.
fn weight(aggregate: Option<(u8, u8)>, payload: &[u8]) -> usize {
    let mut parts = 1;
    if let Some((kind, shift)) = aggregate {
        let first = payload.first().copied().unwrap_or(0);
        let mask = if shift == 0 { 0x1f } else { 0x3f };
        // Some encoders put several behind start codes.
        parts += units(Framing::AnnexB, payload).count();
        if first >> shift & mask == kind {
            let mut rest = payload.get(1 + usize::from(shift)..).unwrap_or(&[]);
            while let Some((length, after)) = rest.split_first_chunk() {
                let length = usize::from(u16::from_be_bytes(*length));
                rest = after.get(length..).unwrap_or(&[]);
                parts += 1;
            }
        }
    }
    payload.len() + PART * parts
}

/// The value of each stream's `a=fmtp`, in which its parameter sets or its configuration stand.
fn format_parameters<'a>(sdp: &'a str, streams: &[Stream]) -> Vec<Option<&'a str>> {
    let described = streams.iter();
    let described = described.map(|stream| (stream.media(), stream.rtp_payload_type()));
    parameters_of(sdp, described)
}

fn parameters_of<'a, 'b>(
    sdp: &'a str,
    streams: impl Iterator<Item = (&'b str, u8)>,
) -> Vec<Option<&'a str>> {
    let mut sections: Vec<((&str, &str), Option<&str>)> = Vec::new();
    for line in sdp.split(['\r', '\n']) {
        if let Some(line) = line.strip_prefix("m=") {
            let mut words = line.split_ascii_whitespace();
            // Behind them the port and the protocol.
            let media = words.next().unwrap_or_default();
            sections.push(((media, words.nth(2).unwrap_or_default()), None));
        } else if let Some(value) = line.strip_prefix("a=fmtp:")
            && let Some(((_, payload_type), known)) = sections.last_mut()
            && let Some((of, parameters)) = value.split_once(' ')
            && of == *payload_type
        {
            *known = Some(parameters);
        }
    }
    let mut sections = sections.into_iter();
    streams
        .map(|(media, payload_type)| {
            // Sections that the library did not understand are no streams.
            let is_its = |(what, _): &((&str, &str), _)| {
                what.0 == media && what.1.parse() == Ok(payload_type)
            };
            let mut later = sections.clone();
            let found = later.find(is_its)?;
            sections = later;
            found.1
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_has_the_parameters_of_its_section() {
        let sdp = "v=0\r\nm=application 0 RTP/AVP 107\r\na=fmtp:107 x\r\nm=video 0 RTP/AVP 96 97\r\n\
                   a=fmtp:97 other\r\na=fmtp:96 sprop=a==\r\nm=audio 0 RTP/AVP 0\r\nm=audio 0 \
                   RTP/AVP 97\na=fmtp:97\na=fmtp:97 config=1190\n";
        let streams = [("video", 96), ("audio", 0), ("audio", 97), ("audio", 5)];
        let found = parameters_of(sdp, streams.into_iter());
        assert_eq!(found, [Some("sprop=a=="), None, Some("config=1190"), None]);
        assert_eq!(parameters_of("", [("video", 96)].into_iter()), [None]);
    }

    #[test]
    fn small_units_weigh_more_than_their_bytes() {
        let (h264, h265) = (Some((24, 0)), Some((48, 1)));
        let plain = [0x61; 1400];
        assert!(weight(h264, &plain) < 1400 + 3 * PART);
        assert!(weight(None, &plain) < 1400 + 3 * PART);
        // One NAL unit of a byte behind each length.
        let mut aggregate = [0, 1, 7].repeat(400);
        aggregate.insert(0, 24);
        assert!(weight(h264, &aggregate) > 400 * PART);
        aggregate.splice(..1, [48 << 1, 1]);
        assert!(weight(h265, &aggregate) > 400 * PART);
        let start_codes = [0, 0, 1, 0x61].repeat(300);
        assert!(weight(h265, &start_codes) > 300 * PART);
        assert_eq!(weight(h264, &[24, 0xff]), 2 + 2 * PART);
    }
}
