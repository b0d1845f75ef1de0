use peercam_proto::media::Quality;

use super::{Budget, PICTURE, Part, TALK, TooLittleMemory, Wants};
use crate::config;

impl Budget {
    /// The same budget for other channels: what does not follow from channels was given out at the
    /// start, and stays. Rings of live streams and the recorder's queue have what channels leave of the
    /// rest.
    ///
    /// # Errors
    /// [`TooLittleMemory`] if they do not fit.
    pub fn with_channels(&self, config: &config::Config) -> Result<Self, TooLittleMemory> {
        self.for_channels(&Wants::from_config(config))
    }

    pub(super) fn for_channels(&self, wants: &Wants) -> Result<Self, TooLittleMemory> {
        let of_channels = [Part::Live, Part::Recorder, Part::Cameras, Part::Talk];
        let given = self.shares.iter();
        let given = given.filter(|share| !of_channels.contains(&share.part));
        let given: usize = given.map(|share| share.bytes).sum();
        let times = usize::saturating_mul;
        let streams = times(wants.channels, Quality::ALL.len());
        let rings = times(streams, self.picture);
        let (packets, messages) = wants.reassembly;
        let queue = self.record.min(self.picture);
        let recorder = wants.record.map_or(0, |_| {
            queue + times(wants.channels, self.picture + self.pre_roll)
        });
        let sum = |parts: &[usize]| parts.iter().copied().fold(0, usize::saturating_add);
        let cameras = sum(&[
            times(wants.streams, self.memory.gop),
            times(packets, self.picture + self.picture / 2),
            times(messages, 2 * self.picture),
        ]);
        let talk = sum(&[times(wants.channels, TALK), self.talk_ahead]);
        let needed = sum(&[given, rings, recorder, cameras, talk]);
        let left = self.total.checked_sub(needed).ok_or(TooLittleMemory {
            needed,
            total: self.total,
            origin: self.origin,
        })?;
        // No channel had events so far, and some may have now.
        let before = match wants.record {
            Some((_, before)) if self.pre_roll == 0 => {
                (left / 2 / wants.channels.max(1)).min(before)
            }
            _ => 0,
        };
        let left = left - times(wants.channels, before);
        let more = wants.record.map_or(0, |_| left.min(self.record - queue));
        let most = wants
            .live_memory
            .clamp(rings, times(streams, PICTURE.2).max(rings));
        let live = (rings + left - more).min(most);
        let mut shares = self.shares.clone();
        for share in &mut shares {
            share.bytes = match share.part {
                Part::Live => live,
                Part::Recorder => recorder + more + times(wants.channels, before),
                Part::Cameras => cameras,
                Part::Talk => talk,
                _ => continue,
            };
            share.least = share.least.min(share.bytes);
            share.most = share.most.max(share.bytes);
        }
        Ok(Self {
            shares,
            live,
            record: queue + more,
            pre_roll: self.pre_roll + before,
            ..self.clone()
        })
    }
}
