//! One stream of a firmware: what it sends, brought to what viewers can decode.

use std::sync::Arc;

use bytes::Bytes;
use peercam_proto::{
    hal_socket::{Sound, StreamInfo},
    media::{
        AudioCodec, AudioTrack, Frame, MediaTime, Quality, StreamId, TrackKind, Tracks, VideoTrack,
    },
    nal::{Framing, NalError, Pictures},
    voice::adts_unit,
};

use super::channel::Channel;
use crate::{fanout::FrameFanout, timeline::Timeline, tracks};

/// A picture as the firmware sent it.
pub(super) struct Captured<'a> {
    /// Capture time on the firmware's clock.
    pub(super) time: MediaTime,
    pub(super) composition_micros: i32,
    pub(super) framing: Framing,
    pub(super) data: &'a [u8],
}

/// Reason why a stream ends the connection.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum StreamError {
    #[error("stream {0}: a picture, and none was announced")]
    NoPicture(StreamId),
    #[error("stream {0}: sound, and none was announced")]
    NoSound(StreamId),
    #[error("stream {stream}: {track} of {micros} µs before the last; times must not go back")]
    OutOfOrder {
        stream: StreamId,
        track: TrackKind,
        micros: i64,
    },
    #[error("stream {0}: {1}")]
    Picture(StreamId, NalError),
    #[error("stream {0}: {1}")]
    Sound(StreamId, String),
}

/// A stream as it was announced.
pub(super) struct Stream {
    id: StreamId,
    pictures: Option<Pictures>,
    video: Option<VideoTrack>,
    sound: Option<Incoming>,
    awaits_key: bool,
    /// Set if something before the last key picture is missing.
    has_gap: bool,
    /// Set if it was said once that parameter sets are missing.
    has_complained: bool,
    /// Set for each quality whose feed knows the tracks as they are.
    told: [bool; Quality::ALL.len()],
    /// Set if the feeds know a part of the tracks only.
    is_stale: bool,
    last: [Option<i64>; 2],
}

/// Sound as the firmware codes it.
struct Incoming {
    info: Sound,
    /// `None` until its units have described themselves.
    track: Option<AudioTrack>,
}

impl Stream {
    pub(super) fn new(id: StreamId, info: &StreamInfo) -> Result<Self, StreamError> {
        let sound = match &info.audio {
            None => None,
            Some(sound) => {
                let is_described = sound.codec != AudioCodec::Aac || !sound.config.is_empty();
                let track = if is_described {
                    Some(described(id, sound, &sound.config)?)
                } else {
                    None
                };
                Some(Incoming {
                    info: sound.clone(),
                    track,
                })
            }
        };
        Ok(Self {
            id,
            pictures: info
                .video
                .map(|codec| Pictures::new(codec, info.frame_rate)),
            video: None,
            sound,
            awaits_key: true,
            has_gap: true,
            has_complained: false,
            told: [false; Quality::ALL.len()],
            is_stale: false,
            last: [None; 2],
        })
    }

    /// Takes in a picture that came at `arrival`; `timeline` is that of the firmware's clock.
    pub(super) fn picture(
        &mut self,
        captured: &Captured<'_>,
        timeline: &mut Timeline,
        arrival: MediaTime,
        channel: &Channel,
    ) -> Result<(), StreamError> {
        self.check_order(TrackKind::Video, captured.time)?;
        let pictures = self
            .pictures
            .as_mut()
            .ok_or(StreamError::NoPicture(self.id))?;
        let picture = match pictures.read(captured.framing, captured.data) {
            Ok(Some(picture)) => picture,
            Ok(None) => return Ok(()),
            Err(error @ NalError::Missing(_)) => {
                if !std::mem::replace(&mut self.has_complained, true) {
                    tracing::warn!(stream = %self.id, %error, "pictures of the firmware are of no use");
                }
                return Ok(());
            }
            Err(error) => return Err(StreamError::Picture(self.id, error)),
        };
        if let Some(track) = picture.new_track {
            self.video = Some(track);
            self.told = Default::default();
        }
        if picture.key {
            self.has_gap = self.awaits_key;
            self.awaits_key = false;
        }
        if self.awaits_key || self.has_gap && picture.needs_earlier {
            return Ok(());
        }
        let frame = Frame {
            track: TrackKind::Video,
            key: picture.key,
            time: timeline.place(captured.time.as_micros(), arrival),
            composition_micros: captured.composition_micros,
            data: picture.data,
        };
        self.hand_out(channel, frame.key, &frame);
        Ok(())
    }

    /// Takes in a block of sound, captured at `time` on the firmware's clock.
    pub(super) fn sound(
        &mut self,
        time: MediaTime,
        data: &Bytes,
        timeline: &mut Timeline,
        arrival: MediaTime,
        channel: &Channel,
    ) -> Result<(), StreamError> {
        self.check_order(TrackKind::Audio, time)?;
        let sound = self.sound.as_mut().ok_or(StreamError::NoSound(self.id))?;
        let mut data = data.clone();
        if sound.info.codec == AudioCodec::Aac
            && let Some((config, head)) = adts_unit(&data)
        {
            data = data.slice(head..);
            if sound.track.is_none() {
                sound.track = Some(described(self.id, &sound.info, &config)?);
                // Told with the next key frame; pictures go on meanwhile.
                self.is_stale = true;
            }
        }
        if sound.track.is_none() {
            let reason = "AAC that was announced without a configuration, and has no ADTS head";
            return Err(StreamError::Sound(self.id, reason.to_owned()));
        }
        let frame = Frame {
            track: TrackKind::Audio,
            key: true,
            time: timeline.place(time.as_micros(), arrival),
            composition_micros: 0,
            data,
        };
        let starts = self.pictures.is_none();
        self.hand_out(channel, starts, &frame);
        Ok(())
    }

    /// The firmware has it off, or has dropped frames of it: it begins anew.
    pub(super) fn restart(&mut self) {
        self.awaits_key = true;
        self.told = Default::default();
    }

    fn check_order(&mut self, track: TrackKind, time: MediaTime) -> Result<(), StreamError> {
        let last = &mut self.last[track as usize];
        let time = time.as_micros();
        if let Some(before) = last.filter(|&last| time < last) {
            return Err(StreamError::OutOfOrder {
                stream: self.id,
                track,
                micros: before.saturating_sub(time),
            });
        }
        *last = Some(time);
        Ok(())
    }

    /// Gives a frame to all whose picture this is; one that `starts` also to those who do not know
    /// the tracks yet.
    fn hand_out(&mut self, channel: &Channel, starts: bool, frame: &Frame) {
        let fanouts = channel.fanouts_of(self.id.quality);
        for (told, fanout) in self.told.iter_mut().zip(fanouts) {
            let Some(fanout): Option<&Arc<FrameFanout>> = fanout else {
                *told = false;
                continue;
            };
            if starts && (self.is_stale || !*told) {
                let sound = self.sound.as_ref();
                fanout.online(Tracks {
                    video: self.video.clone(),
                    audio: sound.and_then(|sound| sound.track.clone()),
                });
                *told = true;
            }
            let is_known = frame.track == TrackKind::Video || !self.is_stale || starts;
            if *told && is_known {
                fanout.frame(frame.clone());
            }
        }
        self.is_stale &= !starts;
    }
}

fn described(id: StreamId, sound: &Sound, config: &Bytes) -> Result<AudioTrack, StreamError> {
    match sound.codec {
        AudioCodec::Aac => {
            tracks::aac(config.clone()).map_err(|error| StreamError::Sound(id, error.to_string()))
        }
        codec => tracks::g711(codec, sound.sample_rate, sound.channels.into())
            .map_err(|error| StreamError::Sound(id, error.to_string())),
    }
}
