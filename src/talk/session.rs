use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::time::Instant;

use super::{
    HANDOVER, Pieces, Turn,
    decode::{DecodeError, Decoder},
    jitter::{Jitter, Pace},
};
use crate::{
    error::{Error, ErrorKind},
    hal::{HalError, TalkSink},
    media::{MediaTime, SoundBlock, SoundCoding, SoundFormat},
    proto::voice::{Declared, Upload},
};

/// How a talk went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Talked {
    /// What was played, in milliseconds.
    pub played_millis: u64,
    /// Blocks that came too late.
    pub lost: u64,
    /// Why the device has ended it, if it has.
    pub hung_up: Option<&'static str>,
}

/// An open speaker, and what it takes.
struct Open {
    format: Arc<SoundFormat>,
    sink: Box<dyn TalkSink>,
    decoder: Decoder,
}

impl Turn {
    /// Plays a body, which is said to be this, to its end, until the device hangs up, or until it broke off.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedMedia`] for a format that is not taken,
    /// [`ErrorKind::BadRequest`] for sound that is damaged or not played, [`ErrorKind::Busy`] if
    /// something else on the device has the speaker, [`ErrorKind::Unavailable`] if it fails,
    /// [`ErrorKind::Timeout`] if nothing came for a while; the body's own error if it broke off.
    pub async fn play(
        &self,
        body: &mut dyn Pieces,
        declared: Declared,
        pace: Pace,
    ) -> Result<Talked, Error> {
        Talk::new(self, declared, pace).play(body).await
    }
}

impl Turn {
    /// Plays 1 kHz for a fifth of a second.
    pub(super) fn beep(&self) -> Result<(), Error> {
        const RATE: u32 = 16_000;
        const PERIOD: usize = 16;
        const LENGTH: usize = RATE as usize / 5;
        let format = SoundFormat {
            coding: SoundCoding::Pcm,
            sample_rate: RATE,
            channels: 1,
        };
        let samples = (0..LENGTH).map(|index| {
            let phase = (index % PERIOD) as f32 / PERIOD as f32 * std::f32::consts::TAU;
            (phase.sin() * 8_000.0) as i16
        });
        let block: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
        let mut sink = self
            .speaker
            .open(&format)
            .map_err(|error| refused(&error))?;
        sink.push(&block);
        Ok(())
    }

    /// Goes on with sound of this format.
    async fn reopen(&self, before: Option<Open>, format: &Arc<SoundFormat>) -> Result<Open, Error> {
        let Some(Open { mut sink, .. }) = before else {
            return self.open(format).await;
        };
        let refused = |error| refused(&error);
        let decoder = match (sink.change(format), &format.coding) {
            (Err(HalError::Unsupported(_)), coding) if *coding != SoundCoding::Pcm => {
                match sink.change(&as_pcm(format)).map_err(refused)? {
                    true => Some(Decoder::of(format)?),
                    false => None,
                }
            }
            (changed, _) => changed.map_err(refused)?.then_some(Decoder::Nothing),
        };
        match decoder {
            Some(decoder) => Ok(Open {
                format: Arc::clone(format),
                sink,
                decoder,
            }),
            None => {
                // Let go first: nobody may hold it twice.
                drop(sink);
                self.open(format).await
            }
        }
    }

    /// Opens the speaker for sound of this format, or for what can be made of it. One that was
    /// taken over may still play what its talker said last.
    async fn open(&self, format: &Arc<SoundFormat>) -> Result<Open, Error> {
        const LOOK: Duration = Duration::from_millis(20);
        let until = Instant::now() + HANDOVER;
        loop {
            match self.try_open(format) {
                Err(error)
                    if self.took_over
                        && error.kind() == ErrorKind::Busy
                        && Instant::now() < until => {}
                opened => return opened,
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn try_open(&self, format: &Arc<SoundFormat>) -> Result<Open, Error> {
        let speaker = &self.speaker;
        let (sink, decoder) = match (speaker.open(format), &format.coding) {
            (Err(HalError::Unsupported(_)), coding) if *coding != SoundCoding::Pcm => {
                let decoder = Decoder::of(format)?;
                (speaker.open(&as_pcm(format)), decoder)
            }
            (opened, _) => (opened, Decoder::Nothing),
        };
        Ok(Open {
            format: Arc::clone(format),
            sink: sink.map_err(|error| refused(&error))?,
            decoder,
        })
    }
}

struct Talk<'a> {
    turn: &'a Turn,
    upload: Upload,
    jitter: Jitter,
    speaker: Option<Open>,
    pcm: BytesMut,
    played_micros: i64,
    warned: bool,
}

impl<'a> Talk<'a> {
    fn new(turn: &'a Turn, declared: Declared, pace: Pace) -> Self {
        turn.inner.metrics.talkers.inc();
        let config = &turn.inner.config;
        let bound = i64::try_from(config.jitter.as_micros()).unwrap_or(i64::MAX);
        Self {
            turn,
            upload: Upload::new(config.sample_rate, declared),
            jitter: Jitter::new(bound, pace),
            speaker: None,
            pcm: BytesMut::new(),
            played_micros: 0,
            warned: false,
        }
    }

    async fn play(mut self, body: &mut dyn Pieces) -> Result<Talked, Error> {
        let clock = self.turn.inner.clock;
        let idle = self.turn.inner.config.idle;
        let mut has_ended = false;
        let mut last_sound = clock.now();
        let hung_up = loop {
            let now = clock.now();
            self.jitter.note_gap(now);
            let (is_dry, any) = self.take_blocks(now).await?;
            // What the device itself holds up is no silence.
            if any || !is_dry {
                last_sound = now;
            }
            if has_ended && is_dry {
                self.jitter.finish();
            }
            if self.jitter.is_done(now) {
                break None;
            }
            // What comes next, if nothing is sent: a block is due, the last one has sounded, or
            // there is room again, which a due block makes.
            let next = self.jitter.due().or_else(|| self.jitter.sounds_until());
            let wake = async {
                match next {
                    Some(at) => tokio::time::sleep(at.duration_from(clock.now())).await,
                    None => std::future::pending().await,
                }
            };
            let left = idle.saturating_sub(now.duration_from(last_sound));
            tokio::select! {
                biased;
                why = self.turn.place.ended() => break Some(why),
                () = wake => self.play_due(clock.now()).await?,
                piece = body.piece(), if !has_ended && is_dry => {
                    match piece? {
                        Some(piece) => self.upload.feed(piece),
                        None => {
                            has_ended = true;
                            self.upload.finish()?;
                        }
                    }
                }
                () = tokio::time::sleep(left), if !has_ended && is_dry => {
                    let reason = format!("no sound came for {} s", idle.as_secs());
                    return Err(Error::new(ErrorKind::Timeout, reason));
                }
            }
        };
        if hung_up.is_some()
            && let Some(speaker) = &mut self.speaker
        {
            speaker.sink.cut();
        }
        Ok(Talked {
            played_millis: u64::try_from(self.played_micros / 1000).unwrap_or(0),
            lost: self.jitter.lost(),
            hung_up,
        })
    }

    /// Takes the blocks that have come, as many as there is room for: whether that was all, and
    /// whether there were any.
    async fn take_blocks(&mut self, now: MediaTime) -> Result<(bool, bool), Error> {
        let mut any = false;
        while self.jitter.has_room() {
            let Some(block) = self.upload.next_block()? else {
                return Ok((true, any));
            };
            any = true;
            // A speaker that is taken is told at once, and not when the sound is due.
            if self.speaker.is_none() {
                self.speaker = Some(self.turn.open(&block.format).await?);
            }
            self.jitter.push(block, now);
        }
        Ok((false, any))
    }

    async fn play_due(&mut self, now: MediaTime) -> Result<(), Error> {
        while let Some(block) = self.jitter.pop(now) {
            self.play_block(&block).await?;
        }
        Ok(())
    }

    async fn play_block(&mut self, block: &SoundBlock) -> Result<(), Error> {
        let is_other = |speaker: &Open| speaker.format != block.format;
        if self.speaker.as_ref().is_none_or(is_other) {
            let before = self.speaker.take();
            self.speaker = Some(self.turn.reopen(before, &block.format).await?);
        }
        let Some(speaker) = &mut self.speaker else {
            return Ok(());
        };
        self.pcm.clear();
        let metrics = &self.turn.inner.metrics;
        let decoded = speaker.decoder.decode(&block.data, &mut self.pcm);
        match decoded {
            Ok(()) => {
                speaker.sink.push(&self.pcm);
                metrics.blocks.inc();
                self.played_micros += block.micros;
            }
            Err(DecodeError::Other) => {
                let reason = "this AAC is not what its head says, such as HE-AAC; AAC-LC is played";
                return Err(Error::new(ErrorKind::Unsupported, reason));
            }
            Err(DecodeError::Damaged(reason)) => {
                metrics.lost_damaged.inc();
                if !std::mem::replace(&mut self.warned, true) {
                    tracing::warn!(channel = %self.turn.channel, reason, "talkback cannot be decoded");
                }
                // What it was in the middle of is no good any more.
                speaker.decoder = Decoder::of(&block.format)?;
            }
        }
        Ok(())
    }
}

impl Drop for Talk<'_> {
    fn drop(&mut self) {
        let metrics = &self.turn.inner.metrics;
        metrics.talkers.dec();
        metrics.lost_late.inc_by(self.jitter.lost());
        metrics
            .skipped_pictures
            .inc_by(self.upload.skipped_pictures());
    }
}

fn as_pcm(format: &SoundFormat) -> SoundFormat {
    SoundFormat {
        coding: SoundCoding::Pcm,
        ..*format
    }
}

/// What a talker is told of a speaker that does not open.
pub(super) fn refused(error: &HalError) -> Error {
    let (kind, reason) = match error {
        HalError::Busy => (
            ErrorKind::Busy,
            "the speaker is still playing what was said before, or something else on the device uses it; try again in 2 s".to_owned(),
        ),
        HalError::Unsupported(what) => (
            ErrorKind::Unsupported,
            format!("the speaker does not take {what}"),
        ),
        error => (
            ErrorKind::Unavailable,
            format!("the speaker cannot be used: {error}"),
        ),
    };
    Error::new(kind, reason)
}
