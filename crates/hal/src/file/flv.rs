//! FLV files, as a reader of access units: one pass to check and measure, then in a loop.
//!
//! Tags are taken apart by `peercam_proto::flv::Reader`; the times of the file stay as they are.

use std::{
    fs::File,
    io::{Read, Seek},
};

use peercam_proto::{
    flv::{AudioPacket, ReadError, Reader, Tag, TagBody, VideoPacket},
    media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks, VideoCodec},
};

use super::{
    Problem,
    codec::{self, VideoConfig},
};
use crate::tracks;

/// An FLV file, read tag by tag.
#[derive(Debug)]
pub(super) struct FlvFile {
    file: File,
    reader: Reader,
    video: Option<VideoConfig>,
    audio: Option<AudioTrack>,
    /// Milliseconds of the last tag, over the 32-bit wrap.
    last_millis: Option<i64>,
}

impl FlvFile {
    /// Opens a file and finds its tracks: those whose configuration comes before both tracks have
    /// delivered, or before 500 tags have passed.
    pub(super) fn open(file: File) -> Result<(Self, Tracks), Problem> {
        const LOOK_AHEAD_TAGS: usize = 500;
        let mut movie = Self {
            file,
            reader: Reader::new(),
            video: None,
            audio: None,
            last_millis: None,
        };
        for _ in 0..LOOK_AHEAD_TAGS {
            if movie.video.is_some() && movie.audio.is_some() {
                break;
            }
            let Some(tag) = movie.next_tag()? else { break };
            movie.learn(&tag.body)?;
        }
        movie.rewind()?;
        let tracks = Tracks {
            video: movie.video.as_ref().map(|config| config.track.clone()),
            audio: movie.audio.clone(),
        };
        Ok((movie, tracks))
    }

    /// Goes back to the first tag.
    pub(super) fn rewind(&mut self) -> Result<(), Problem> {
        self.file.rewind()?;
        self.reader = Reader::new();
        self.last_millis = None;
        Ok(())
    }

    /// The next access unit.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, Problem> {
        while let Some(tag) = self.next_tag()? {
            if let Some(frame) = self.frame(tag)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn frame(&mut self, tag: Tag) -> Result<Option<Frame>, Problem> {
        let millis = match self.last_millis {
            None => i64::from(tag.timestamp),
            Some(last) => last + i64::from(tag.timestamp.wrapping_sub(last as u32) as i32),
        };
        self.last_millis = Some(millis);
        let time = MediaTime::from_micros(millis * 1000);
        let damaged = || Problem::Damaged(format!("in the picture at {} ms", tag.timestamp));
        match tag.body {
            TagBody::Video(
                codec,
                VideoPacket::Frame {
                    key,
                    composition_ms,
                    data,
                },
            ) => {
                let Some(config) = self
                    .video
                    .as_ref()
                    .filter(|config| config.track.codec == codec)
                else {
                    return Err(Problem::Damaged(
                        "where a picture comes without its configuration".to_owned(),
                    ));
                };
                let data = config.normalize(data).ok_or_else(damaged)?;
                let composition_micros = composition_ms.checked_mul(1000).ok_or_else(damaged)?;
                Ok(Some(Frame {
                    track: TrackKind::Video,
                    key,
                    time,
                    composition_micros,
                    data,
                }))
            }
            TagBody::Audio(codec, AudioPacket::Frame { data, stereo }) if !data.is_empty() => {
                let Some(track) = &self.audio else {
                    return Ok(None);
                };
                let channels = if codec == AudioCodec::Aac {
                    track.channels
                } else {
                    1 + u8::from(stereo)
                };
                if (track.codec, track.channels) != (codec, channels) {
                    return Err(reconfigured(TrackKind::Audio));
                }
                Ok(Some(Frame {
                    track: TrackKind::Audio,
                    key: true,
                    time,
                    composition_micros: 0,
                    data,
                }))
            }
            body => {
                self.refuse_another_configuration(&body)?;
                Ok(None)
            }
        }
    }

    fn refuse_another_configuration(&self, body: &TagBody) -> Result<(), Problem> {
        match (body, &self.video, &self.audio) {
            (TagBody::Video(codec, VideoPacket::Config(record)), Some(known), _)
                if known.track != VideoConfig::parse(*codec, record)?.track =>
            {
                Err(reconfigured(TrackKind::Video))
            }
            (TagBody::Audio(_, AudioPacket::Config(config)), _, Some(known))
                if known.config != *config =>
            {
                Err(reconfigured(TrackKind::Audio))
            }
            _ => Ok(()),
        }
    }

    fn learn(&mut self, body: &TagBody) -> Result<(), Problem> {
        let unsupported = |track, codec: &str| Problem::UnsupportedCodec {
            track,
            codec: codec.to_owned(),
        };
        match body {
            TagBody::OtherVideo(codec) => return Err(unsupported(TrackKind::Video, codec)),
            TagBody::OtherAudio(codec) => return Err(unsupported(TrackKind::Audio, codec)),
            TagBody::Pcm { .. } => return Err(unsupported(TrackKind::Audio, "PCM")),
            TagBody::Video(codec, VideoPacket::Config(record)) if self.video.is_none() => {
                self.video = Some(VideoConfig::parse(*codec, record)?);
            }
            TagBody::Video(VideoCodec::H264 | VideoCodec::H265, _)
            | TagBody::Script
            | TagBody::LeftOut { .. } => {}
            TagBody::Audio(AudioCodec::Aac, AudioPacket::Config(config))
                if self.audio.is_none() =>
            {
                self.audio = Some(codec::aac_track(config)?);
            }
            TagBody::Audio(AudioCodec::Aac, _) => {}
            TagBody::Audio(codec, AudioPacket::Frame { stereo, .. }) if self.audio.is_none() => {
                const G711_RATE: u32 = 8_000;
                let track = tracks::g711(*codec, G711_RATE, 1 + u16::from(*stereo));
                let track =
                    track.map_err(|error| unsupported(TrackKind::Audio, &error.to_string()));
                self.audio = Some(track?);
            }
            TagBody::Audio(..) => {}
        }
        Ok(())
    }

    fn next_tag(&mut self) -> Result<Option<Tag>, Problem> {
        loop {
            if let Some(tag) = self.reader.next_tag().map_err(|error| damage(&error))? {
                return Ok(Some(tag));
            }
            let mut piece = [0; 16 * 1024];
            let read = self.file.read(&mut piece)?;
            if read == 0 {
                return match self.reader.pending() {
                    0 => Ok(None),
                    _ => Err(Problem::Damaged(
                        "at its end: the last tag is cut off".to_owned(),
                    )),
                };
            }
            self.reader.feed(&piece[..read]);
        }
    }
}

fn reconfigured(track: TrackKind) -> Problem {
    Problem::UnsupportedCodec {
        track,
        codec: "reconfigured in mid-file".to_owned(),
    }
}

fn damage(error: &ReadError) -> Problem {
    Problem::Damaged(error.to_string())
}
