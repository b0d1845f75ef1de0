//! Holds a simulated picture at its bitrate.

use super::FRAME_RATE;

/// A leaky bucket over coded pictures: says when there are bits for motion and how much filler
/// keeps a quiet picture at its rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateControl {
    bits_per_frame: i64,
    /// Bits not yet used; negative: in debt.
    credit: i64,
}

impl RateControl {
    /// Holds `bits_per_second`.
    pub(super) fn new(bits_per_second: u32) -> Self {
        Self {
            bits_per_frame: i64::from(bits_per_second / FRAME_RATE),
            credit: 0,
        }
    }

    /// Changes the rate from the next picture on.
    pub(super) fn set_rate(&mut self, bits_per_second: u32) {
        self.bits_per_frame = i64::from(bits_per_second / FRAME_RATE);
    }

    /// Returns whether the next picture may spend bits on motion that could wait.
    pub(super) fn allows_motion(&self) -> bool {
        self.credit + self.bits_per_frame > 0
    }

    /// Accounts for a picture of `bytes` and gives how many bytes of filler to put behind it.
    pub(super) fn account(&mut self, bytes: usize) -> usize {
        // An idle second at most is saved up, so that a quiet scene does not end in a burst.
        let ceiling = self.bits_per_frame * i64::from(FRAME_RATE);
        self.credit =
            (self.credit + self.bits_per_frame - bytes as i64 * 8).clamp(-ceiling * 4, ceiling);
        let filler = usize::try_from(self.credit / 8).unwrap_or(0);
        if filler < MIN_FILLER {
            return 0;
        }
        self.credit -= filler as i64 * 8;
        filler
    }
}

/// Less filler than this is saved up for later.
const MIN_FILLER: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_held_over_key_frames_and_quiet_pictures() {
        let mut rate = RateControl::new(1_000_000);
        let mut sent = 0;
        for frame in 0..250 {
            let coded = if frame % 50 == 0 { 30_000 } else { 2_000 };
            sent += coded + rate.account(coded);
        }
        assert!(
            (1_240_000..=1_260_000).contains(&sent),
            "{sent} bytes in 10 s"
        );
    }

    #[test]
    fn motion_waits_while_in_debt() {
        let mut rate = RateControl::new(200_000);
        assert!(rate.allows_motion());
        assert_eq!(rate.account(10_000), 0);
        assert!(!rate.allows_motion());
        rate.set_rate(8_000_000);
        assert!(rate.allows_motion());
    }
}
