//! One sum of memory, shared out among those that keep something. Pure: no system, no file.

use std::fmt;

/// Part that keeps something on the heap, or in the kernel for a connection. The order is that of the
/// table that people see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Rings of live streams.
    Live,
    /// Frames on their way to live viewers.
    Viewers,
    /// Fragments on their way to viewers of recordings.
    PlaybackSessions,
    /// Blocks of files on their way to those who download them.
    Downloads,
    /// Windows and state of QUIC connections.
    P2p,
    /// Buffers and tasks of TCP connections.
    Connections,
    /// Buffers of TCP connections in the kernel.
    Kernel,
    /// Frames that wait to be written to the card.
    Recorder,
    /// Names of recordings.
    Catalog,
    /// Groups of pictures of cameras, and pictures on their way from them.
    Cameras,
    /// Sound on its way to speakers.
    Talk,
    /// Tables, counters, the log.
    Rest,
}

impl Part {
    /// Name of the part, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live streams",
            Self::Viewers => "live viewers",
            Self::PlaybackSessions => "playbacks",
            Self::Downloads => "downloads",
            Self::P2p => "P2P connections",
            Self::Connections => "TCP connections",
            Self::Kernel => "TCP in the kernel",
            Self::Recorder => "recorder",
            Self::Catalog => "list of recordings",
            Self::Cameras => "cameras",
            Self::Talk => "talkback",
            Self::Rest => "everything else",
        }
    }
}

/// Demand of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) part: Part,
    /// Without this much in bytes the device does not do what it is for.
    pub(super) least: usize,
    /// More than this it never takes.
    pub(super) most: usize,
    /// Weight with which it has its part of the rest, beside others.
    pub(super) weight: usize,
}

/// Share of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The part.
    pub part: Part,
    /// Bytes that it had to get.
    pub least: usize,
    /// Bytes that it has.
    pub bytes: usize,
    /// Bytes that it would take at most.
    pub most: usize,
}

/// The parts together need more than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLittle {
    /// Bytes that they need.
    pub(super) needed: usize,
}

/// Gives each part what it needs, and shares out what is left by weight, to nobody more than it
/// can use. The sum is never more than `total`.
pub(super) fn share_out(total: usize, demands: &[Demand]) -> Result<Vec<Share>, TooLittle> {
    let needed = demands
        .iter()
        .fold(0_usize, |sum, demand| sum.saturating_add(demand.least));
    let mut left = total.checked_sub(needed).ok_or(TooLittle { needed })?;
    let share = |demand: &Demand| Share {
        part: demand.part,
        least: demand.least,
        bytes: demand.least,
        most: demand.most.max(demand.least),
    };
    let mut shares: Vec<Share> = demands.iter().map(share).collect();
    loop {
        let is_hungry = |share: &Share| share.bytes < share.most;
        let hungry = shares.iter().zip(demands);
        let weights: usize = hungry
            .filter(|(share, _)| is_hungry(share))
            .map(|(_, demand)| demand.weight)
            .sum();
        if weights == 0 {
            return Ok(shares);
        }
        // In units, so that nothing overflows where pointers have 32 bits.
        let unit = left / weights;
        if unit == 0 {
            return Ok(shares);
        }
        for (share, demand) in shares.iter_mut().zip(demands) {
            let more = (unit * demand.weight).min(share.most - share.bytes);
            share.bytes += more;
            left -= more;
        }
    }
}

/// A number of bytes as people read it.
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let unit = UNITS.iter().find(|(size, _)| self.0 >= *size);
        let text = match unit {
            Some((size, name)) => format!("{:.1} {name}", self.0 as f64 / *size as f64),
            None => format!("{} B", self.0),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn demand(least: usize, most: usize, weight: usize) -> Demand {
        Demand {
            part: Part::Rest,
            least,
            most,
            weight,
        }
    }

    fn bytes(total: usize, demands: &[Demand]) -> Vec<usize> {
        let shares = share_out(total, demands).expect("enough");
        shares.iter().map(|share| share.bytes).collect()
    }

    #[test]
    fn each_gets_what_it_needs_and_what_is_left_goes_by_weight() {
        let demands = [demand(10, 1000, 1), demand(20, 1000, 3), demand(5, 5, 9)];
        assert_eq!(bytes(35, &demands), [10, 20, 5]);
        assert_eq!(bytes(75, &demands), [20, 50, 5]);
        // What one cannot use goes to the others.
        let demands = [demand(0, 1000, 1), demand(0, 30, 3)];
        assert_eq!(bytes(100, &demands), [70, 30]);
        assert_eq!(bytes(1 << 40, &demands), [1000, 30]);
        let too_little = share_out(34, &[demand(10, 10, 1), demand(25, 25, 1)]);
        assert_eq!(too_little, Err(TooLittle { needed: 35 }));
    }

    #[test]
    fn bytes_read_well() {
        for (bytes, text) in [
            (512, "512 B"),
            (11 << 20, "11.0 MiB"),
            ((3 << 19) + 1, "1.5 MiB"),
            (1 << 31, "2.0 GiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn never_more_than_there_is_and_never_less_than_needed(
            total in 0_usize..1 << 40,
            demands in prop::collection::vec((0_usize..1 << 34, 0_usize..1 << 34, 0_usize..10), 1..14),
        ) {
            let demands: Vec<_> = demands
                .into_iter()
                .map(|(least, more, weight)| demand(least, least + more, weight))
                .collect();
            match share_out(total, &demands) {
                Ok(shares) => {
                    let sum: usize = shares.iter().map(|share| share.bytes).sum();
                    prop_assert!(sum <= total);
                    for share in &shares {
                        prop_assert!((share.least..=share.most).contains(&share.bytes));
                    }
                    // What is not given out is not worth dividing.
                    let is_hungry = |(share, demand): &(&Share, &Demand)| {
                        share.bytes < share.most && demand.weight > 0
                    };
                    if shares.iter().zip(&demands).any(|pair| is_hungry(&pair)) {
                        prop_assert!(total - sum < 140);
                    }
                }
                Err(TooLittle { needed }) => prop_assert!(needed > total),
            }
        }
    }
}
