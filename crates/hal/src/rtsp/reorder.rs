//! Decoding times of pictures of which only the time to show them is known.

/// A picture that comes so much before the one it follows is not reordered: the clock was set.
const LONGEST_MICROS: i64 = 1_000_000;
/// Largest depth that H.264 and H.265 allow.
const DEEPEST: usize = 16;

/// Gives every picture a decoding time: not later than its own presentation, and never before
/// that of the picture before it.
///
/// An encoder with B-pictures sends a picture that others need before those that are shown
/// earlier, by at most `depth` places. The depth is what the stream's parameters say, or 0 until
/// a picture proves that wrong.
#[derive(Clone, Debug)]
pub(super) struct Reorder {
    depth: usize,
    /// Presentation times that no picture was given as its decoding time yet, rising.
    waiting: Vec<i64>,
    last: Option<i64>,
}

/// Pictures are reordered further than was known. From the next key frame on it is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deeper;

impl Reorder {
    /// Pictures that are reordered by at most `depth` places.
    pub(super) fn new(depth: usize) -> Self {
        Self {
            depth: depth.min(DEEPEST),
            waiting: Vec::new(),
            last: None,
        }
    }

    /// Places by which pictures are reordered.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The decoding time of the next picture, which is shown at `shown`; all in microseconds.
    /// `interval` is the time from one picture to the next, roughly.
    ///
    /// # Errors
    /// [`Deeper`] if there is none.
    pub(super) fn next(&mut self, shown: i64, interval: i64) -> Result<i64, Deeper> {
        if self
            .last
            .is_some_and(|last| shown < last.saturating_sub(LONGEST_MICROS))
        {
            self.restart();
        }
        // RTP carries presentation times only (RFC 6184 5.1); FLV and MP4 want decoding times too.
        // At the start a decoder is `depth` pictures ahead of what it shows: as many times before
        // the first picture are made up, and no decoding time ever passes its presentation.
        if self.waiting.len() != self.depth {
            let steps = (1..=self.depth as i64).rev();
            self.waiting = steps.map(|step| shown - step * interval).collect();
        }
        // Decoding times are the presentation times, sorted, `depth` places later.
        let place = self.waiting.partition_point(|&time| time <= shown);
        self.waiting.insert(place, shown);
        let decoded = self.waiting.remove(0);
        if self.last.is_some_and(|last| decoded < last) {
            // Parameters without `bitstream_restriction` (H.264 E.2.1) do not say the depth: it is
            // found out here, one place at a time.
            self.depth = (self.depth + 1).min(DEEPEST);
            self.restart();
            return Err(Deeper);
        }
        self.last = Some(decoded);
        Ok(decoded)
    }

    /// Forgets the pictures so far.
    pub(super) fn restart(&mut self) {
        self.waiting.clear();
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: i64 = 40_000;

    fn decode(reorder: &mut Reorder, shown: &[i64]) -> Vec<Result<i64, Deeper>> {
        let times = shown.iter().map(|place| place * STEP);
        times.map(|time| reorder.next(time, STEP)).collect()
    }

    #[test]
    fn without_reordering_a_picture_is_decoded_when_it_is_shown() {
        let mut reorder = Reorder::new(0);
        let times = decode(&mut reorder, &[0, 1, 2, 3]);
        assert_eq!(times, [0, 1, 2, 3].map(|place| Ok(place * STEP)));
    }

    #[test]
    fn with_known_depth_times_rise_and_never_pass_presentation() {
        // I B B P with a pyramid: the second B is needed by the first.
        let shown = [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11];
        let mut reorder = Reorder::new(2);
        let times: Vec<i64> = decode(&mut reorder, &shown)
            .into_iter()
            .map(|time| time.expect("deep enough"))
            .collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
        assert!(
            times
                .iter()
                .zip(shown)
                .all(|(time, shown)| *time <= shown * STEP)
        );
        assert_eq!(times[0], -2 * STEP);
    }

    #[test]
    fn depth_is_found_out() {
        let mut reorder = Reorder::new(0);
        let times = decode(&mut reorder, &[0, 3, 1]);
        assert_eq!(times, [Ok(0), Ok(3 * STEP), Err(Deeper)]);
        assert_eq!(reorder.depth(), 1);
        let again = decode(&mut reorder, &[10, 13, 11, 12, 16, 14]);
        assert_eq!(again, [9, 10, 11, 12, 13, 14].map(|place| Ok(place * STEP)));
    }

    #[test]
    fn a_clock_that_is_set_back_is_no_reordering() {
        let mut reorder = Reorder::new(0);
        assert_eq!(reorder.next(5_000_000, STEP), Ok(5_000_000));
        assert_eq!(reorder.next(0, STEP), Ok(0));
        assert_eq!(reorder.depth(), 0);
    }
}
