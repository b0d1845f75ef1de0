//! State of one channel, whichever firmware delivers it.

use std::sync::{
    Arc, MutexGuard,
    atomic::{AtomicUsize, Ordering},
};

use peercam_proto::{
    hal_socket::{Abilities, StreamInfo, ToFirmware},
    media::{ChannelId, Quality, StreamId},
};
use peercam_task::boundary::Guarded;

use super::firmware_handle::FirmwareHandle;
use crate::{
    HalError, PtzPosition,
    fanout::{FrameFanout, offline},
};

/// A channel that firmware delivers.
pub(super) struct Channel {
    pub(super) id: ChannelId,
    /// One for each quality that viewers may ask for.
    fanouts: [Arc<FrameFanout>; Quality::ALL.len()],
    state: Guarded<State>,
    /// Cameras that stand for it.
    cameras: AtomicUsize,
}

#[derive(Default)]
struct State {
    firmware: Option<FirmwareHandle>,
    /// Streams that firmware announced.
    streams: [Option<StreamInfo>; Quality::ALL.len()],
    /// State that the firmware was last told of each quality: watched or not.
    told: [Option<bool>; Quality::ALL.len()],
    abilities: Abilities,
    position: PtzPosition,
    is_flipped: bool,
    is_talking: bool,
}

impl State {
    /// The firmware is sent away, and announces everything again when it comes back.
    fn mend(&mut self) {
        if let Some(firmware) = std::mem::take(self).firmware {
            firmware.give_up();
        }
    }

    fn source_of(&self, wanted: Quality) -> Option<Quality> {
        let there = Quality::ALL
            .into_iter()
            .filter(|&quality| self.streams[quality as usize].is_some());
        there.min_by_key(|&quality| (wanted as usize).abs_diff(quality as usize))
    }
}

impl Channel {
    pub(super) fn new(id: ChannelId, kept: usize) -> Arc<Self> {
        let channel = Self {
            id,
            fanouts: std::array::from_fn(|_| FrameFanout::new(kept)),
            state: Guarded::new(State::default(), State::mend),
            cameras: AtomicUsize::new(0),
        };
        channel.offline("no firmware delivers it yet");
        Arc::new(channel)
    }

    /// Notes one more camera that stands for it.
    pub(super) fn join(&self) {
        self.cameras.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that a camera is no more; returns whether it was the last one.
    pub(super) fn leave(&self) -> bool {
        let is_last = self.cameras.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last {
            self.fanouts.iter().for_each(|fanout| fanout.drop_gop());
        }
        is_last
    }

    /// Returns whether a camera stands for it.
    pub(super) fn is_used(&self) -> bool {
        self.cameras.load(Ordering::Acquire) > 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn offline(&self, reason: &str) {
        for fanout in &self.fanouts {
            fanout.offline(reason);
        }
    }

    /// Hands the channel to a firmware; `false` if another one has it.
    pub(super) fn claim(&self, firmware: &FirmwareHandle) -> bool {
        let mut state = self.state();
        match &state.firmware {
            Some(owner) => owner.number == firmware.number,
            None => {
                *state = State {
                    firmware: Some(firmware.clone()),
                    is_flipped: state.is_flipped,
                    ..State::default()
                };
                if state.is_flipped {
                    firmware.send(&ToFirmware::Flip(self.id, true));
                }
                true
            }
        }
    }

    /// Returns whether this firmware delivers it.
    pub(super) fn is_of(&self, firmware: &FirmwareHandle) -> bool {
        let owner = &self.state().firmware;
        owner
            .as_ref()
            .is_some_and(|owner| owner.number == firmware.number)
    }

    /// Takes the channel from a firmware that has gone.
    pub(super) fn release(&self, number: u64, reason: &str) {
        let mut state = self.state();
        if state
            .firmware
            .as_ref()
            .is_some_and(|firmware| firmware.number == number)
        {
            *state = State {
                is_flipped: state.is_flipped,
                ..State::default()
            };
            // With the lock: what the next firmware delivers comes after it.
            self.offline(reason);
        }
    }

    /// A stream was announced.
    pub(super) fn announce(&self, quality: Quality, info: StreamInfo) {
        {
            let mut state = self.state();
            state.streams[quality as usize] = Some(info);
            // It is told in any case: it may remember what another daemon said.
            state.told[quality as usize] = None;
        }
        // Whoever comes now waits for it.
        for fanout in self.fanouts_of(quality).into_iter().flatten() {
            fanout.reset();
        }
        self.tell_watched();
    }

    /// Returns which of the firmware's streams a viewer of `wanted` gets: the nearest, the smaller one of
    /// two; `None` if there is none yet.
    pub(super) fn source_of(&self, wanted: Quality) -> Option<Quality> {
        self.state().source_of(wanted)
    }

    /// The feeds that a stream of the firmware goes to.
    pub(super) fn fanouts_of(
        &self,
        stream: Quality,
    ) -> [Option<&Arc<FrameFanout>>; Quality::ALL.len()] {
        let state = self.state();
        let is_source = |wanted| state.source_of(wanted) == Some(stream);
        Quality::ALL.map(|wanted| is_source(wanted).then(|| self.fanout(wanted)))
    }

    pub(super) fn fanout(&self, quality: Quality) -> &Arc<FrameFanout> {
        &self.fanouts[quality as usize]
    }

    /// Tells the firmware which of its streams are watched, if that has changed.
    pub(super) fn tell_watched(&self) {
        let mut state = self.state();
        let Some(firmware) = state.firmware.clone() else {
            return;
        };
        let sources = Quality::ALL.map(|wanted| state.source_of(wanted));
        for stream in Quality::ALL {
            if state.streams[stream as usize].is_none() {
                continue;
            }
            let fanouts = || {
                let all = self.fanouts.iter().zip(sources);
                all.filter_map(|(fanout, source)| (source == Some(stream)).then_some(fanout))
            };
            let is_watched = fanouts().any(|fanout| *fanout.readers().borrow() > 0);
            if state.told[stream as usize] != Some(is_watched) {
                state.told[stream as usize] = Some(is_watched);
                if !is_watched {
                    fanouts().for_each(|fanout| fanout.drop_gop());
                }
                firmware.send(&ToFirmware::Watch(self.stream(stream), is_watched));
                let info = state.streams[stream as usize].as_ref();
                if is_watched && info.is_some_and(|info| info.forces_keys) {
                    // Who watches does not wait for the next one that is due.
                    firmware.send(&ToFirmware::KeyFrame(self.stream(stream)));
                }
            }
        }
    }

    pub(super) fn stream(&self, quality: Quality) -> StreamId {
        StreamId {
            channel: self.id,
            quality,
        }
    }

    /// A stream as the firmware announced it, and the way to reach it.
    pub(super) fn announced(&self, stream: Quality) -> Option<(StreamInfo, FirmwareHandle)> {
        let state = self.state();
        let info = state.streams[stream as usize].clone()?;
        Some((info, state.firmware.clone()?))
    }

    pub(super) fn set_abilities(&self, abilities: Abilities) {
        self.state().abilities = abilities;
    }

    /// The firmware, if it has this ability, which is called `what`.
    pub(super) fn able(
        &self,
        what: &str,
        has: impl Fn(&Abilities) -> bool,
    ) -> Result<FirmwareHandle, HalError> {
        let state = self.state();
        let firmware = state.firmware.clone().ok_or_else(super::not_connected)?;
        if has(&state.abilities) {
            Ok(firmware)
        } else {
            Err(HalError::Unsupported(what.to_owned()))
        }
    }

    pub(super) fn abilities(&self) -> Abilities {
        self.state().abilities
    }

    pub(super) fn set_position(&self, [x, y, x_low, x_high, y_low, y_high]: [i32; 6]) {
        self.state().position = PtzPosition {
            x,
            y,
            x_range: (x_low, x_high),
            y_range: (y_low, y_high),
        };
    }

    pub(super) fn position(&self) -> PtzPosition {
        self.state().position
    }

    pub(super) fn is_flipped(&self) -> bool {
        self.state().is_flipped
    }

    pub(super) fn set_flipped(&self, is_flipped: bool) {
        self.state().is_flipped = is_flipped;
    }

    /// Takes the speaker; `false` if somebody has it.
    pub(super) fn take_speaker(&self) -> bool {
        !std::mem::replace(&mut self.state().is_talking, true)
    }

    /// Frees the speaker that was taken of this firmware.
    pub(super) fn free_speaker(&self, number: u64) {
        let mut state = self.state();
        let is_same = |firmware: &FirmwareHandle| firmware.number == number;
        if state.firmware.as_ref().is_some_and(is_same) {
            state.is_talking = false;
        }
    }

    /// Reason why it does not deliver, if it is known not to.
    pub(super) fn problem(&self) -> Option<String> {
        offline(self.fanouts.iter())
    }
}
