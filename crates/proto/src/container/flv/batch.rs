//! Vectored buffer of FLV tags for one write.
//!
//! Payloads are shared by all viewers and never copied; only heads and trailers belong to one of
//! them. Timestamps and headers are made in [`super::mux`].

use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::{TRAILER, TagHead};

/// Tags in sending order as one buffer, sent to a viewer in one write.
///
/// Payloads are shared, heads are the viewer's own. Each tag's `PreviousTagSize` is sent with it:
/// FFmpeg and mpegts.js hold a tag back until those four bytes have come.
#[derive(Debug, Default)]
pub struct TagBatch {
    parts: Vec<Part>,
    /// Index of the part that is being sent.
    at: usize,
    /// Bytes of that part that have been sent.
    sent: usize,
    /// Bytes of all parts still to be sent.
    remaining: usize,
}

/// Capacity reserved for the usual write: a picture, the sound since the last one, and the last
/// trailer.
const USUAL_PARTS: usize = 5;
/// Upper bound of the unshared bytes of a part: the trailer of the tag before and a tag head.
const MAX_OWN: usize = TRAILER + 20;

/// Unshared bytes, followed by shared ones.
#[derive(Debug)]
struct Part {
    own: [u8; MAX_OWN],
    own_length: u8,
    shared: Bytes,
}

impl Part {
    fn length(&self) -> usize {
        usize::from(self.own_length) + self.shared.len()
    }

    fn own(&self) -> &[u8] {
        &self.own[..usize::from(self.own_length)]
    }
}

impl TagBatch {
    /// Appends bytes that are complete tags already, such as the preamble.
    pub fn push_bytes(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.remaining += bytes.len();
        self.parts.push(Part {
            own: [0; MAX_OWN],
            own_length: 0,
            shared: bytes,
        });
    }

    /// Appends a tag.
    pub fn push(&mut self, head: &TagHead, payload: Bytes) {
        if self.parts.is_empty() {
            self.parts.reserve(USUAL_PARTS);
        }
        let part = match self.parts.pop() {
            // The trailer of the tag before stands alone in the last part: join it to this head.
            Some(trailer) if trailer.shared.is_empty() && trailer.own_length == TRAILER as u8 => {
                trailer
            }
            other => {
                self.parts.extend(other);
                Part {
                    own: [0; MAX_OWN],
                    own_length: 0,
                    shared: Bytes::new(),
                }
            }
        };
        let head_bytes = head.as_slice();
        self.remaining += head_bytes.len() + payload.len() + TRAILER;
        self.parts.push(part.with(head_bytes, payload));
        let trailer = Part {
            own: [0; MAX_OWN],
            own_length: 0,
            shared: Bytes::new(),
        };
        self.parts.push(trailer.with(&head.trailer(), Bytes::new()));
    }
}

impl Part {
    fn with(mut self, own: &[u8], shared: Bytes) -> Self {
        let start = usize::from(self.own_length);
        self.own[start..start + own.len()].copy_from_slice(own);
        self.own_length += own.len() as u8;
        self.shared = shared;
        self
    }
}

impl Buf for TagBatch {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        let Some(part) = self.parts.get(self.at) else {
            return &[];
        };
        let own = part.own();
        // `advance` never stops at the end of a part: no chunk is empty before all is sent.
        match self.sent.checked_sub(own.len()) {
            None => &own[self.sent..],
            Some(sent) => &part.shared[sent..],
        }
    }

    fn advance(&mut self, count: usize) {
        assert!(
            count <= self.remaining,
            "advanced past the end of a tag batch"
        );
        self.remaining -= count;
        self.sent += count;
        while let Some(part) = self.parts.get(self.at) {
            let length = part.length();
            if self.sent < length {
                break;
            }
            self.sent -= length;
            self.at += 1;
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let (mut filled, mut sent) = (0, self.sent);
        for part in &self.parts[self.at..] {
            for bytes in [part.own(), &part.shared] {
                let skipped = sent.min(bytes.len());
                sent -= skipped;
                let rest = &bytes[skipped..];
                if rest.is_empty() {
                    continue;
                }
                let Some(slice) = slices.get_mut(filled) else {
                    return filled;
                };
                *slice = IoSlice::new(rest);
                filled += 1;
            }
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        flv::{HevcForm, Muxer},
        media::{Frame, MediaTime, TrackKind, Tracks},
    };

    /// The same tags, written the plain way.
    fn batch_and_bytes(payloads: &[Vec<u8>], preamble: &[u8]) -> (TagBatch, Vec<u8>) {
        let muxer = Muxer::new(&Tracks::default(), HevcForm::Legacy);
        let mut batch = TagBatch::default();
        let mut flat = preamble.to_vec();
        batch.push_bytes(Bytes::copy_from_slice(preamble));
        for (index, payload) in payloads.iter().enumerate() {
            let frame = Frame {
                track: TrackKind::Video,
                key: index == 0,
                time: MediaTime::default(),
                composition_micros: 0,
                data: payload.clone().into(),
            };
            let head = muxer.head(&frame, index as u32, 0);
            batch.push(&head, frame.data);
            flat.extend_from_slice(head.as_slice());
            flat.extend_from_slice(payload);
            flat.extend_from_slice(
                &(head.as_slice().len() as u32 + payload.len() as u32).to_be_bytes(),
            );
        }
        (batch, flat)
    }

    proptest! {
        #[test]
        fn any_way_of_taking_it_gives_the_same_bytes(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
            preamble in proptest::collection::vec(any::<u8>(), 0..10),
            steps in proptest::collection::vec(1_usize..40, 1..60),
            width in 1_usize..9,
        ) {
            let (mut batch, flat) = batch_and_bytes(&payloads, &preamble);
            prop_assert_eq!(batch.remaining(), flat.len());
            let mut steps = steps.into_iter().cycle();
            let mut at = 0;
            while batch.has_remaining() {
                prop_assert!(!batch.chunk().is_empty());
                prop_assert!(flat[at..].starts_with(batch.chunk()));
                let mut slices = vec![IoSlice::new(&[]); width];
                let filled = batch.chunks_vectored(&mut slices);
                let joined: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
                prop_assert!(flat[at..].starts_with(&joined));
                let step = steps.next().expect("endless").min(batch.remaining());
                batch.advance(step);
                at += step;
            }
            prop_assert_eq!(at, flat.len());
            prop_assert!(batch.chunk().is_empty());
        }
    }
}
