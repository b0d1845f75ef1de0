//! The memory budget: one sum for everything that grows, from which places and shares are derived.
//!
//! ```text
//! limit (control group, machine) ─► total ─► shares of the parts ─► places, windows, queues
//! ```
//!
//! What a part may keep at most is counted, and not what it usually keeps, so that the sum holds
//! whatever cameras, viewers and cards do. Belongs here: the sums. Does not belong here: who keeps
//! within its share.

mod channels;
mod connections;
mod limit;
mod p2p;
mod shares;

use std::{collections::BTreeSet, fmt, path::Path};

use peercam_hal::StreamMemory;
use peercam_proto::media::Quality;

use self::shares::{Demand, TooLittle, share_out};
pub use self::{
    connections::{LOCAL, RESERVED, STRANGERS, sealed as sealed_connections},
    limit::{Limit, Source},
    p2p::STRANGERS as P2P_STRANGERS,
    shares::{Bytes, Part, Share},
};
use crate::{config, events, talk};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Memory of the program itself, before anybody is served: code, its tables, one runtime.
const PROGRAM: u64 = 10 << 20;
/// Limit that is assumed where the system gives none.
const UNKNOWN_LIMIT: u64 = 64 << 20;

/// The largest picture that is handed on, between these bounds: this part of the total.
const PICTURE: (usize, usize, usize) = (384 * KIB, 24, 2 * MIB);
/// A live viewer holds a batch of frames, its last one a whole picture, and as much again sealed.
const VIEWER_BATCH: usize = 128 * KIB;
/// A player holds the fragment that it sends, the one before that is still on its way, and the
/// next one.
const FRAGMENTS_OF_PLAYER: usize = 3;
/// A download holds blocks of 128 KiB: one on its way, one read ahead, two to be filled again.
const DOWNLOAD: usize = 512 * KIB;
/// A TCP connection's task, and its buffers in both directions, which are larger for the few that
/// have proved themselves and smaller for strangers.
const CONNECTION: usize = 16 * KIB;
/// Bytes in the kernel that were sent to one viewer and not acknowledged: at least, and at most.
const SEND_BUFFER: (usize, usize) = (128 * KIB, 4 * MIB);
/// Memory of a recording's entry, in a list that may have grown to twice what it holds.
const RECORDING: usize = 64;
/// Recordings that are known at least (five days of a minute each), and at most.
const RECORDINGS: (usize, usize) = (8_000, 200_000);
/// Memory of the index of a growing file's fragments, and of the list that it may have grown to.
const INDEX: usize = 16 * KIB;
/// Sound of one talk: a head, blocks that wait, a decoder.
const TALK: usize = 192 * KIB;
/// Tables of viewers and calls, commands that wait for their playback, counters, lines of the log.
const REST: usize = 320 * KIB;

/// What the configuration has that takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wants {
    channels: usize,
    /// Streams of cameras whose newest group of pictures is kept on this side.
    streams: usize,
    /// Pictures that are put together at a time out of what comes over a network, and of what comes
    /// over sockets of firmware.
    reassembly: (usize, usize),
    max_viewers: usize,
    max_connections: usize,
    max_sessions: usize,
    has_p2p: bool,
    live_memory: usize,
    /// Memory of the recorder's queue, and of each channel for what was before an event.
    record: Option<(usize, usize)>,
}

/// Shares of everybody, and what follows from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The sum.
    pub total: usize,
    /// Origin of the sum.
    pub origin: Origin,
    /// Share of each part, in the order of [`Part`].
    pub shares: Vec<Share>,
    /// A larger picture is lost, in bytes.
    pub picture: usize,
    /// Rings of live streams together, in bytes.
    pub live: usize,
    /// Live viewers at a time.
    pub viewers: usize,
    /// Playbacks at a time.
    pub players: usize,
    /// Downloads at a time.
    pub downloads: usize,
    /// TCP connections at a time.
    pub connections: usize,
    /// Bytes that the kernel may keep for one TCP connection; `None`: as many as it likes, because there
    /// is room for that.
    pub send_buffer: Option<usize>,
    /// Send window of one viewer over P2P: sent and not acknowledged, in bytes.
    pub p2p_window: usize,
    /// P2P connections at a time of viewers that have proved themselves.
    pub p2p_connections: usize,
    /// Queue of the recorder, in bytes.
    pub record: usize,
    /// Pre-roll of each channel, kept from before an event, in bytes.
    pub pre_roll: usize,
    /// A fragment of a recording, in bytes.
    pub fragment: usize,
    /// Recordings that are known at a time.
    pub recordings: usize,
    /// Sound of all talks that is read ahead of its playing, in bytes.
    pub talk_ahead: usize,
    /// Events that are kept for who reads them later, in bytes.
    pub events: usize,
    /// Memory of each stream of a camera on its way in.
    pub memory: StreamMemory,
}

/// Origin of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `runtime.memory` says so.
    Configured,
    /// Half of what the limit leaves beyond the program itself.
    Limit(Limit),
    /// The system says nothing.
    Unknown,
}

/// Too little memory for the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "memory: this configuration needs {} at least for what it keeps, and {} {origin}; it needs less with fewer channels, without [record] or [p2p], or with a smaller max_sessions, and runtime.memory sets another sum",
    Bytes(*needed as u64), Bytes(*total as u64)
)]
pub struct TooLittleMemory {
    needed: usize,
    total: usize,
    origin: Origin,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => write!(f, "is what runtime.memory says"),
            Self::Limit(Limit { bytes, source }) => {
                let limit = Bytes(*bytes);
                let whose = match source {
                    Source::Cgroup => "the control group",
                    Source::Machine => "the machine",
                };
                write!(
                    f,
                    "is half of what the {limit} of {whose} leave beyond the program itself"
                )
            }
            Self::Unknown => write!(f, "is taken, because the system does not say what there is"),
        }
    }
}

impl Budget {
    /// The budget of this process: what the configuration says, or half of what its limit leaves
    /// beyond the program itself. The other half is for what no share counts: holes in the heap,
    /// the stacks of threads, the system's own.
    ///
    /// # Errors
    /// [`TooLittleMemory`] if an owner could be shut out.
    pub fn from_config(config: &config::Config) -> Result<Self, TooLittleMemory> {
        let (total, origin) = match (config.runtime.memory, Limit::of_this_process()) {
            (Some(total), _) => (total as u64, Origin::Configured),
            (None, Some(limit)) => (half_beyond(limit.bytes), Origin::Limit(limit)),
            (None, None) => (half_beyond(UNKNOWN_LIMIT), Origin::Unknown),
        };
        // Pointers of 32 bits reach no farther.
        let total = usize::try_from(total).unwrap_or(usize::MAX / 2);
        Self::share(total, origin, &Wants::from_config(config))
    }

    fn share(total: usize, origin: Origin, wants: &Wants) -> Result<Self, TooLittleMemory> {
        let (least, part, most) = PICTURE;
        let picture = (total / part).clamp(least, most);
        // Rather smaller pictures than none.
        let smaller = |picture: &usize| (*picture > least).then(|| (picture / 4 * 3).max(least));
        let mut sizes = std::iter::successors(Some(picture), smaller);
        let fitting = sizes.find_map(|picture| Self::with_picture(picture, total, wants).ok());
        match fitting {
            Some(budget) => Ok(Self { origin, ..budget }),
            None => Self::with_picture(least, total, wants).map_err(|TooLittle { needed }| {
                TooLittleMemory {
                    needed,
                    total,
                    origin,
                }
            }),
        }
    }

    fn with_picture(picture: usize, total: usize, wants: &Wants) -> Result<Self, TooLittle> {
        let streams = wants.channels * Quality::ALL.len();
        let viewer = VIEWER_BATCH + picture;
        let player = FRAGMENTS_OF_PLAYER * picture;
        let own_viewers = wants
            .max_viewers
            .min(wants.channels.max(wants.max_sessions));
        let demand = |part, (least, most): (usize, usize), weight| Demand {
            part,
            least,
            most,
            weight,
        };
        let times = usize::saturating_mul;
        let sessions = wants.max_sessions;
        let p2p = if wants.has_p2p {
            p2p::demand(sessions)
        } else {
            (0, 0)
        };
        let connections = connections::least(sessions);
        // With a third as much of frames that wait for the sound that belongs in front of them, and
        // the index, it is what one picture may be.
        let fragment = ((picture - INDEX) / 4 * 3).min(MIB);
        let cutting = times(wants.channels, picture);
        let record = wants.record.map_or((0, 0), |(queue, before)| {
            let most = queue.saturating_add(times(wants.channels, before));
            (queue.min(picture) + cutting, most.saturating_add(cutting))
        });
        let names = wants.record.map_or((0, 0), |_| RECORDINGS);
        let (packets, messages) = wants.reassembly;
        let reassembly = times(packets, picture + picture / 2);
        let reassembly = reassembly.saturating_add(times(messages, 2 * picture));
        let talks = times(wants.channels, TALK);
        let demands = [
            demand(
                Part::Live,
                (
                    times(streams, picture),
                    wants
                        .live_memory
                        .clamp(times(streams, picture), times(streams, PICTURE.2)),
                ),
                4,
            ),
            demand(
                Part::Viewers,
                (times(own_viewers, viewer), times(wants.max_viewers, viewer)),
                6,
            ),
            demand(
                Part::PlaybackSessions,
                (player, times(wants.max_viewers, player)),
                3,
            ),
            demand(
                Part::Downloads,
                (DOWNLOAD, times(wants.max_viewers, DOWNLOAD)),
                1,
            ),
            demand(Part::P2p, p2p, 3),
            demand(
                Part::Connections,
                (
                    times(connections.min(wants.max_connections), CONNECTION),
                    times(wants.max_connections, CONNECTION),
                ),
                2,
            ),
            demand(
                Part::Kernel,
                (
                    times(own_viewers, SEND_BUFFER.0),
                    times(wants.max_viewers, SEND_BUFFER.1),
                ),
                2,
            ),
            demand(Part::Recorder, record, 3),
            demand(Part::Catalog, (names.0 * RECORDING, names.1 * RECORDING), 3),
            demand(
                Part::Cameras,
                (
                    times(wants.streams, picture / 2) + reassembly,
                    times(wants.streams, StreamMemory::default().gop) + reassembly,
                ),
                2,
            ),
            demand(
                Part::Talk,
                (talks, talks.saturating_add(talk::Config::default().ahead)),
                1,
            ),
            demand(
                Part::Rest,
                (REST + events::MEMORY.0, REST + events::MEMORY.1),
                1,
            ),
        ];
        let shares = share_out(total, &demands)?;
        let share = |part| {
            let share = shares.iter().find(|share| share.part == part);
            share.map_or((0, 0), |share| (share.bytes, share.most))
        };
        let bytes = |part| share(part).0;
        let viewers = (bytes(Part::Viewers) / viewer).min(wants.max_viewers);
        let kernel = share(Part::Kernel);
        let window = p2p::window(bytes(Part::P2p), sessions);
        let waiting = bytes(Part::Recorder).saturating_sub(cutting);
        // Where nothing is kept from before events, all is for what waits.
        let before = match wants.record {
            Some((_, before)) if before > 0 => (waiting / 2 / wants.channels.max(1)).min(before),
            _ => 0,
        };
        Ok(Self {
            total,
            origin: Origin::Unknown,
            picture,
            live: bytes(Part::Live),
            viewers,
            players: (bytes(Part::PlaybackSessions) / player).min(wants.max_viewers),
            downloads: (bytes(Part::Downloads) / DOWNLOAD).min(wants.max_viewers),
            connections: (bytes(Part::Connections) / CONNECTION).min(wants.max_connections),
            send_buffer: (kernel.0 < kernel.1).then(|| kernel.0 / viewers.max(1)),
            p2p_window: window,
            p2p_connections: p2p::connections(bytes(Part::P2p), sessions, window),
            record: waiting - times(wants.channels, before),
            pre_roll: before,
            fragment,
            recordings: bytes(Part::Catalog) / RECORDING,
            talk_ahead: bytes(Part::Talk) - talks,
            events: bytes(Part::Rest) - REST,
            memory: StreamMemory {
                gop: match wants.streams {
                    0 => StreamMemory::default().gop,
                    streams => ((bytes(Part::Cameras) - reassembly) / streams)
                        .min(StreamMemory::default().gop),
                },
                picture,
            },
            shares,
        })
    }
}

impl fmt::Display for Budget {
    /// The table for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "memory: {} {}", Bytes(self.total as u64), self.origin)?;
        writeln!(
            f,
            "  {:<20}{:>12}{:>12}{:>12}",
            "", "at least", "has", "at most"
        )?;
        for share in self.shares.iter().filter(|share| share.most > 0) {
            let [least, has, most] =
                [share.least, share.bytes, share.most].map(|n| Bytes(n as u64));
            let name = share.part.as_str();
            writeln!(
                f,
                "  {name:<20}{least:>12}{has:>12}{most:>12}  {}",
                self.gives(share.part)
            )?;
        }
        Ok(())
    }
}

impl Budget {
    /// A part's share in words: what it is enough for.
    fn gives(&self, part: Part) -> String {
        let size = |bytes: usize| Bytes(bytes as u64);
        match part {
            Part::Live => format!("pictures of up to {}", size(self.picture)),
            Part::Viewers => format!("{} at a time", self.viewers),
            Part::PlaybackSessions => format!("{} at a time", self.players),
            Part::Downloads => format!("{} at a time", self.downloads),
            Part::P2p => format!("{} on their way to each viewer", size(self.p2p_window)),
            Part::Connections => format!("{} at a time", self.connections),
            Part::Kernel => match self.send_buffer {
                Some(bytes) => format!("{} for each viewer", size(bytes)),
                None => "as much as it likes".to_owned(),
            },
            Part::Recorder => format!("{} may wait for the card", size(self.record)),
            Part::Catalog => format!("{} recordings", self.recordings),
            Part::Cameras => format!("{} of each picture's newest group", size(self.memory.gop)),
            Part::Talk => format!("{} read ahead", size(self.talk_ahead)),
            Part::Rest => String::new(),
        }
    }
}

/// Half of what a limit leaves beyond the program itself.
const fn half_beyond(limit: u64) -> u64 {
    limit.saturating_sub(PROGRAM) / 2
}

impl Wants {
    fn from_config(config: &config::Config) -> Self {
        let inputs: Vec<_> = config.channels.iter().map(input).collect();
        let sockets: BTreeSet<&Path> = inputs.iter().filter_map(|(.., socket)| *socket).collect();
        Self {
            channels: config.channels.len(),
            streams: inputs.iter().map(|(streams, ..)| streams).sum(),
            reassembly: (inputs.iter().map(|(_, urls, _)| urls).sum(), sockets.len()),
            max_viewers: config.http.max_viewers,
            max_connections: config.http.max_connections,
            max_sessions: config.access.max_sessions,
            has_p2p: has_p2p(config),
            live_memory: config.live.memory,
            record: record(config),
        }
    }
}

/// Inputs of a channel: streams whose newest group of pictures is kept, URLs that are read, and the
/// socket that it shares with others.
fn input(channel: &config::Channel) -> (usize, usize, Option<&Path>) {
    match &channel.source {
        #[cfg(feature = "rtsp")]
        config::Source::Rtsp(rtsp) => {
            let urls = rtsp.urls.iter().collect::<BTreeSet<_>>().len();
            (urls, urls, None)
        }
        config::Source::Socket { config, .. } => (Quality::ALL.len(), 0, Some(&config.path)),
        _ => (0, 0, None),
    }
}

#[cfg(feature = "p2p")]
fn has_p2p(config: &config::Config) -> bool {
    config.p2p.is_some()
}

#[cfg(not(feature = "p2p"))]
fn has_p2p(_: &config::Config) -> bool {
    false
}

#[cfg(feature = "record")]
fn record(config: &config::Config) -> Option<(usize, usize)> {
    let record = config.record.as_ref()?;
    let keeps_before = |channel: &config::Channel| {
        channel.record.unwrap_or(record.mode) == crate::record::Mode::Event
    };
    let before = if config.channels.iter().any(keeps_before) {
        record.config.cut.most_pre_roll
    } else {
        0
    };
    Some((record.config.memory, before))
}

#[cfg(not(feature = "record"))]
fn record(_: &config::Config) -> Option<(usize, usize)> {
    None
}

#[cfg(test)]
mod tests;
