//! One talk, from its body to an open speaker. It is a task of the speaker, not of the request, so
//! that sound ends in order whoever leaves, and it hangs up at once when its talker is barred.
//! Turns at the speaker are the parent's; the answer to the talker is `http::voice`'s.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use peercam_hal::{HalError, TalkSink};
use peercam_proto::{
    error::{Error, ErrorKind},
    media::{AudioBlock, AudioCoding, AudioFormat, MediaTime},
    voice::{Declared, Upload},
};
use peercam_task::boundary::{self, Panicked, Part, contain};
use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    BARRED, Config, HANDOVER, OtherRate, Pieces, SpeakerLease, TalkSignals, Talked,
    ahead::Ahead,
    decode::{DecodeError, Decoder},
    jitter::{Jitter, Pace},
    tempo::{Presumed, Tempo},
};
use crate::hal_failure;

/// An open speaker, and what it takes.
struct Open {
    format: Arc<AudioFormat>,
    sink: Box<dyn TalkSink>,
    decoder: Decoder,
}

impl SpeakerLease {
    /// Plays a body of the declared format, to its end, until the device hangs up, or as far as it
    /// came. Gives back the body, and how it went, which is told to `ended` too.
    ///
    /// The talk is the speaker's own task: a body that has come whole sounds to its end whoever has
    /// left, and what came of any other for three seconds at most; and it ends at once when its talker
    /// is barred. `ended` hears of a panic too: who has caused it may not wait for the answer.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedMedia`] for a format that is not taken,
    /// [`ErrorKind::BadRequest`] for sound that is damaged or not played, [`ErrorKind::Busy`] if
    /// something else on the device has the speaker, [`ErrorKind::Unavailable`] if it fails,
    /// [`ErrorKind::Timeout`] if nothing came for a while; the body's own error if it broke off.
    pub async fn play<B: Pieces + 'static>(
        self,
        mut body: B,
        declared: Declared,
        pace: Pace,
        signals: TalkSignals,
        ended: impl FnOnce(Result<&Result<Talked, Error>, Panicked>) + Send + 'static,
    ) -> (Option<B>, Result<Talked, Error>) {
        let channel = self.speaker.channel.id;
        let place = Arc::clone(&self.speaker.place);
        let (sender, played) = oneshot::channel();
        let talk = async move {
            let playing = async move {
                let talk = Talk::new(&self, declared, pace);
                let talked = talk.play(&mut body, &signals).await;
                (body, talked)
            };
            let name = format!("sound on channel {channel}");
            // The speaker is free before its talker is told.
            let played = contain(Part::Request, name, playing).await;
            ended(played.as_ref().map(|(_, talked)| talked).map_err(|it| *it));
            if let Ok(played) = played {
                // Its talker may have left.
                let _ = sender.send(played);
            }
        };
        let talk = boundary::spawn(Part::Request, format!("talk on channel {channel}"), talk);
        let before = place.talk.lock().replace(talk);
        // Ended without the lock: what it frees may be asked for by somebody who has it.
        drop(before);
        match played.await {
            Ok((body, talked)) => (Some(body), talked),
            Err(_) => {
                let reason = "the talk was ended by a fault of the device; its log says more";
                (None, Err(Error::new(ErrorKind::Unavailable, reason)))
            }
        }
    }
}

impl SpeakerLease {
    /// Plays 1 kHz for a fifth of a second.
    pub(super) fn beep(&self) -> Result<(), Error> {
        const RATE: u32 = 16_000;
        const PERIOD: usize = 16;
        const LENGTH: usize = RATE as usize / 5;
        let format = AudioFormat {
            coding: AudioCoding::Pcm,
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
            .hardware
            .open(&format)
            .map_err(|error| hal_failure::speaker(&error))?;
        sink.push(&block);
        Ok(())
    }

    /// Goes on with sound of this format.
    async fn reopen(&self, before: Option<Open>, format: &Arc<AudioFormat>) -> Result<Open, Error> {
        let Some(Open { mut sink, .. }) = before else {
            return self.open(format).await;
        };
        let refused = |error| hal_failure::speaker(&error);
        let decoder = match (sink.change(format), &format.coding) {
            (Err(HalError::Unsupported(_)), coding) if *coding != AudioCoding::Pcm => {
                if sink.change(&as_pcm(format)).map_err(refused)? {
                    Some(Decoder::new(format)?)
                } else {
                    None
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
    async fn open(&self, format: &Arc<AudioFormat>) -> Result<Open, Error> {
        const POLL_INTERVAL: Duration = Duration::from_millis(20);
        let until = Instant::now() + HANDOVER;
        loop {
            match self.try_open(format) {
                Err(error)
                    if self.took_over
                        && error.kind() == ErrorKind::Busy
                        && Instant::now() < until => {}
                opened => return opened,
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn try_open(&self, format: &Arc<AudioFormat>) -> Result<Open, Error> {
        let speaker = &self.speaker.hardware;
        let (sink, decoder) = match (speaker.open(format), &format.coding) {
            (Err(HalError::Unsupported(_)), coding) if *coding != AudioCoding::Pcm => {
                let decoder = Decoder::new(format)?;
                (speaker.open(&as_pcm(format)), decoder)
            }
            (opened, _) => (opened, Decoder::Nothing),
        };
        Ok(Open {
            format: Arc::clone(format),
            sink: sink.map_err(|error| hal_failure::speaker(&error))?,
            decoder,
        })
    }
}

struct Talk<'a> {
    turn: &'a SpeakerLease,
    pace: Pace,
    upload: Upload,
    end: End,
    jitter: Jitter,
    tempo: Tempo,
    other_rate: Option<OtherRate>,
    speaker: Option<Open>,
    pcm: BytesMut,
    played_micros: i64,
    warned: bool,
}

/// End of a body. What came before sounds in any case.
enum End {
    /// No end yet.
    Open,
    /// All of it has come.
    Whole,
    /// Broken off, or silent for a while.
    BrokenOff(Error),
    /// Undecodable from here on.
    Damaged(Error),
}

impl<'a> Talk<'a> {
    fn new(turn: &'a SpeakerLease, declared: Declared, pace: Pace) -> Self {
        turn.inner.metrics.talkers.inc();
        let config = *turn.inner.config.borrow();
        let bound = i64::try_from(config.jitter.as_micros()).unwrap_or(i64::MAX);
        Self {
            turn,
            pace,
            upload: Upload::new(config.sample_rate, declared),
            end: End::Open,
            jitter: Jitter::new(bound, pace),
            tempo: Tempo::default(),
            other_rate: None,
            speaker: None,
            pcm: BytesMut::new(),
            played_micros: 0,
            warned: false,
        }
    }

    async fn play(mut self, body: &mut dyn Pieces, signals: &TalkSignals) -> Result<Talked, Error> {
        let turn = self.turn;
        // Whatever it waits for, such as a speaker that was taken over.
        let hung_up = tokio::select! {
            biased;
            why = turn.permit.ended() => Some(why),
            () = signals.is_barred.cancelled() => Some(BARRED),
            ended = self.run(body, &signals.has_left) => ended?,
        };
        if hung_up.is_some()
            && let Some(speaker) = &mut self.speaker
        {
            speaker.sink.cut();
        }
        match (&self.end, hung_up) {
            (End::BrokenOff(error) | End::Damaged(error), None) => Err(error.clone()),
            _ => Ok(self.talked(hung_up)),
        }
    }

    /// Plays to the end, or until nobody needs to hear the rest: then it says why.
    async fn run(
        &mut self,
        body: &mut dyn Pieces,
        has_left: &CancellationToken,
    ) -> Result<Option<&'static str>, Error> {
        let clock = self.turn.inner.clock;
        let Config {
            idle, tail, alone, ..
        } = *self.turn.inner.config.borrow();
        let mut ahead = Ahead::new(body, self.turn.inner.ahead());
        let mut last_sound = clock.now();
        let (mut tail_ends, mut alone_ends) = (None, None);
        loop {
            let now = clock.now();
            self.jitter.note_gap(now);
            let (is_dry, micros) = self.take_blocks(&mut ahead, now).await?;
            if micros > 0 {
                self.note_tempo(now, micros);
            }
            // What the device itself holds up is no silence.
            if micros > 0 || !is_dry {
                last_sound = now;
            }
            let is_open = matches!(self.end, End::Open);
            if !is_open && is_dry {
                self.jitter.finish();
            }
            if self.jitter.is_done(now) {
                return Ok(None);
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
            let is_alone = has_left.is_cancelled();
            tail_ends = if self.is_lost(&ahead, is_alone) {
                tail_ends.or_else(|| Some(Instant::now() + tail))
            } else {
                None
            };
            alone_ends = is_alone.then(|| alone_ends.unwrap_or_else(|| Instant::now() + alone));
            let tail_end = async {
                match tail_ends.into_iter().chain(alone_ends).min() {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = tail_end => return Ok(Some("its talker has left")),
                () = has_left.cancelled(), if !is_alone => {}
                () = wake => self.play_due(clock.now()).await?,
                () = ahead.read(), if is_open && ahead.has_room() => {}
                () = tokio::time::sleep(left), if is_open && is_dry => {
                    let reason = format!("no sound came for {} s", idle.as_secs());
                    self.end = End::BrokenOff(Error::new(ErrorKind::Timeout, reason));
                }
            }
        }
    }

    /// Returns whether nobody is there any more who would end it. Of somebody who has left, what is
    /// read ahead tells whether it had said all; where that is full, it is not known yet.
    fn is_lost(&self, ahead: &Ahead<'_>, is_alone: bool) -> bool {
        match self.end {
            End::Whole => false,
            End::BrokenOff(_) => true,
            End::Damaged(_) => is_alone,
            End::Open => ahead.is_broken() || is_alone && ahead.has_room(),
        }
    }

    fn talked(&self, hung_up: Option<&'static str>) -> Talked {
        let millis = |micros: i64| u64::try_from(micros / 1000).unwrap_or(0);
        Talked {
            played_millis: millis(self.played_micros),
            lost: self.jitter.lost(),
            lost_millis: millis(self.jitter.lost_micros()),
            is_hurried: self.tempo.is_hurried(),
            other_rate: self.other_rate,
            hung_up,
        }
    }

    /// Takes a piece of the body in, or its end.
    fn take_piece(&mut self, piece: Result<Option<Bytes>, Error>) {
        let is_whole = match piece {
            Ok(Some(piece)) => return self.upload.feed(piece),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        // Samples that are short of a block sound also if nothing follows.
        self.end = match (self.upload.finish(), is_whole) {
            (_, Err(error)) => End::BrokenOff(error),
            (Err(error), Ok(())) => End::Damaged(error),
            (Ok(()), Ok(())) => End::Whole,
        };
    }

    /// Looks whether it is what it is played as, once it is known how fast it comes.
    fn note_tempo(&mut self, now: MediaTime, micros: i64) {
        // What was recorded before comes as fast as it is read.
        if self.pace == Pace::Recorded {
            return;
        }
        let presumed = self.upload.presumed_rate();
        let presumed = presumed.map(|(sample_rate, is_said)| Presumed {
            sample_rate,
            is_said,
        });
        let Some(comes) = self.tempo.note(now, micros, presumed) else {
            return;
        };
        let played = presumed.map_or(comes, |presumed| presumed.sample_rate);
        let other = OtherRate { played, comes };
        tracing::warn!(channel = %self.turn.speaker.channel.id, "{other}");
        self.other_rate = Some(other);
    }

    /// Takes the blocks that have come, as many as there is room for: whether that was all, and how
    /// long they sound.
    async fn take_blocks(
        &mut self,
        ahead: &mut Ahead<'_>,
        now: MediaTime,
    ) -> Result<(bool, i64), Error> {
        let mut micros = 0;
        while self.jitter.has_room() {
            if matches!(self.end, End::Damaged(_)) {
                return Ok((true, micros));
            }
            let block = match self.upload.next_block() {
                Ok(Some(block)) => block,
                Ok(None) => match ahead.take() {
                    Some(piece) if matches!(self.end, End::Open) => {
                        self.take_piece(piece);
                        continue;
                    }
                    _ => return Ok((true, micros)),
                },
                Err(error) => {
                    self.end = End::Damaged(error);
                    continue;
                }
            };
            micros += block.micros;
            // A speaker that is taken is told at once, and not when the sound is due.
            if self.speaker.is_none() {
                self.speaker = Some(self.turn.open(&block.format).await?);
            }
            self.jitter.push(block, now);
        }
        Ok((false, micros))
    }

    async fn play_due(&mut self, now: MediaTime) -> Result<(), Error> {
        while let Some(block) = self.jitter.pop(now) {
            self.play_block(&block).await?;
        }
        Ok(())
    }

    async fn play_block(&mut self, block: &AudioBlock) -> Result<(), Error> {
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
                    tracing::warn!(channel = %self.turn.speaker.channel.id, reason, "talkback cannot be decoded");
                }
                // What it was in the middle of is no good any more.
                speaker.decoder = Decoder::new(&block.format)?;
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

fn as_pcm(format: &AudioFormat) -> AudioFormat {
    AudioFormat {
        coding: AudioCoding::Pcm,
        ..*format
    }
}
