use std::fmt;

/// Outcome of a talk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Talked {
    /// Sound that was played, in milliseconds.
    pub played_millis: u64,
    /// Blocks that came too late.
    pub lost: u64,
    /// Playing time of these, in milliseconds.
    pub lost_millis: u64,
    /// Set if all in all it came faster than it sounds.
    pub is_hurried: bool,
    /// The rate that it seems to have, if it came at another one than it was played at.
    pub other_rate: Option<OtherRate>,
    /// Reason that the device has ended it, if it has.
    pub hung_up: Option<&'static str>,
}

/// Sound that seems to be played at a wrong pitch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherRate {
    /// Samples per second that are played.
    pub played: u32,
    /// Samples per second that come.
    pub comes: u32,
}

impl Talked {
    /// Advice to its talker, if something could be done better.
    pub fn advice(&self) -> Option<String> {
        let rate = self.other_rate.map(|rate| rate.to_string());
        let lost = (self.lost > 0).then(|| {
            let (lost, all) = (self.lost_millis, self.lost_millis + self.played_millis);
            let share = (lost * 100).div_ceil(all.max(1));
            let why = if self.is_hurried {
                "it came faster than it sounds: send recorded=1 with what was recorded before"
            } else {
                "the network held it up"
            };
            format!("{lost} of {all} ms ({share} %) were lost, because {why}")
        });
        let advice: Vec<_> = rate.into_iter().chain(lost).collect();
        (!advice.is_empty()).then(|| advice.join("; "))
    }
}

impl fmt::Display for OtherRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { played, comes } = self;
        write!(
            f,
            "the sound comes at the pace of {comes} samples a second and is played as {played}, at the wrong pitch: send sample_rate={comes} (rate={comes} in a Content-Type that says it)"
        )?;
        if *comes == 2 * played {
            f.write_str(", or channels=2 if it is stereo")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_says_what_went_wrong_and_how_to_mend_it() {
        let well = Talked {
            played_millis: 1_000,
            ..Talked::default()
        };
        let late = Talked {
            lost: 50,
            lost_millis: 1_000,
            ..well
        };
        let hurried = Talked {
            is_hurried: true,
            ..late
        };
        let other = |played, comes| Some(OtherRate { played, comes });
        for (talked, words) in [
            (well, vec![]),
            // Nothing is lost of what is only a little early.
            (
                Talked {
                    lost: 0,
                    lost_millis: 0,
                    ..hurried
                },
                vec![],
            ),
            (late, vec!["1000 of 2000 ms (50 %)", "network"]),
            (hurried, vec!["1000 of 2000 ms (50 %)", "recorded=1"]),
            (
                Talked {
                    other_rate: other(16_000, 8_000),
                    ..well
                },
                vec!["sample_rate=8000", "played as 16000"],
            ),
            (
                Talked {
                    other_rate: other(8_000, 16_000),
                    ..hurried
                },
                vec!["sample_rate=16000", "channels=2", "recorded=1"],
            ),
        ] {
            let advice = talked.advice().unwrap_or_default();
            assert_eq!(advice.is_empty(), words.is_empty(), "{advice}");
            for word in words {
                assert!(advice.contains(word), "{word}: {advice}");
            }
        }
    }
}
