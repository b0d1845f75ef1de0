//! The configuration: one TOML file, typed, unknown keys refused.
//!
//! Each part of the daemon has its own small configuration; this composes them. Tables that come
//! in several kinds (`source`, `listen`) are read flat and then converted, so that an error names
//! the line of the very key. `config/full.toml` shows every key with its default.

mod audio;
mod checks;
mod error;
#[cfg(feature = "p2p")]
mod p2p;
mod raw;
#[cfg(feature = "record")]
mod record;
#[cfg(feature = "rtsp")]
mod rtsp;
mod signalling;
mod socket;
mod source;
mod units;

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

pub use error::ConfigError;
#[cfg(feature = "p2p")]
pub use p2p::{P2p, RelayCaError};
use peercam_hal::AudioPolicy;
use peercam_net::Timeouts;
use peercam_proto::{flv::HevcForm, media::ChannelId, origin_policy::Origin};
#[cfg(feature = "record")]
pub use record::Record;
pub use signalling::{Handler, UserDefine};
pub use units::duration;

use jiff::tz::TimeZone;

use crate::{http::BODY_TIMEOUT, live, talk};

/// The whole configuration, parsed and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `data_dir`: what must outlast the daemon; made if it is not there. Relative to the
    /// configuration file. Default: `peercam-data`.
    pub data_dir: PathBuf,
    /// `[device]`
    pub device: Device,
    /// `[[listen]]`, one each; at least one.
    pub listen: Vec<Listen>,
    /// `[access]`
    pub access: Access,
    /// `[p2p]`; `None` if it is off.
    #[cfg(feature = "p2p")]
    pub p2p: Option<P2p>,
    /// `[record]`; `None` if nothing is recorded.
    #[cfg(feature = "record")]
    pub record: Option<Record>,
    /// `[talkback]`
    pub talk: talk::Config,
    /// `call.ring`: how long a call rings. Default: 30 s.
    pub call_ring: Duration,
    /// `[user_define]`
    pub user: UserDefine,
    /// `[http]`
    pub http: Http,
    /// `[live]`
    pub live: live::Config,
    /// `live.hevc`
    pub hevc: HevcForm,
    /// `[runtime]`
    pub runtime: Runtime,
    /// `[[channel]]`, one each; at least one.
    pub channels: Vec<Channel>,
}

/// `[device]`: who the device is. Names only; neither is a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `product_id`: letters, digits and underscore, at most 10. Default: `PEERCAMSIM`.
    pub product_id: String,
    /// `device_name`: letters, digits, `_` and `-`, at most 48. Default: `sim_0001`.
    pub device_name: String,
    /// `timezone`: whose days and months recordings are listed by. Default: the system's.
    pub timezone: TimeZone,
}

/// One `[[listen]]`: a TCP address that serves HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `addr`: IP address and port. Port 0 takes a free one.
    pub address: SocketAddr,
    /// `access`: who may use it.
    pub access: ListenAccess,
}

/// Access to a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAccess {
    /// `open`: whoever reaches it, which is why it is on loopback. The default.
    Open {
        /// `allow_origins`: web pages that may call it. Default: none.
        allow_origins: Vec<Origin>,
        /// `allow_insecure_lan`: lets it be reached from other machines, by anybody and without
        /// encryption. Default: no.
        allow_insecure_lan: bool,
        /// `allow_placeholder_hosts`: a `Host` of `ipc.p2p.com` or under `xnet` is good in origin
        /// form too, if it is not a browser that sends it. Default: no.
        allow_placeholder_hosts: bool,
    },
    /// `token`: viewers that were paired; all bodies are sealed.
    Token {
        /// `allow_clear_media`: lets a viewer that asks for it with `_crypto=off` have media
        /// unencrypted, as everybody in between has then. Default: no.
        allow_clear_media: bool,
    },
}

/// `[access]`: those who were paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// `max_sessions`: viewers that proved themselves, at a time. Default: 4.
    pub max_sessions: usize,
}

/// `[http]`: bounds of the HTTP surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// `max_connections`: open at a time, over all listeners. Default: 256.
    pub max_connections: usize,
    /// `max_viewers`: media responses at a time. Default: 32.
    pub max_viewers: usize,
    /// `header_timeout`, `idle_timeout`, `write_timeout`.
    pub timeouts: Timeouts,
    /// `body_timeout`: to send a request body. Default: 10 s.
    pub body_timeout: Duration,
}

/// `[runtime]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// `threads`: that serve viewers; 1 is a single-threaded runtime. Default: 1.
    pub threads: usize,
    /// `memory`: the sum of what grows, in bytes. Default (`None`): half of what the limit of the
    /// control group, or the machine, leaves beyond 10 MiB.
    pub memory: Option<usize>,
}

/// One `[[channel]]`: a camera.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// `id`: its number, from 0.
    pub id: ChannelId,
    /// `name`: for people. Default: `camera N`.
    pub name: String,
    /// `source`: where its picture comes from.
    pub source: Source,
    /// `audio`: what viewers get of its sound. Default: AAC, and silence where there is none.
    pub sound: AudioPolicy,
    /// `speaker`: what plays what is talked. Default: the camera's own speaker, at any rate.
    pub speaker: Speaker,
    /// `record`: what of it is recorded. Default (`None`): as `[record]` says.
    #[cfg(feature = "record")]
    pub record: Option<crate::record::Mode>,
}

/// Speaker of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speaker {
    /// A program and its arguments, in place of the camera's own speaker.
    pub command: Option<Vec<String>>,
    /// The only rate that it takes, in samples per second.
    pub sample_rate: Option<u32>,
}

impl Speaker {
    /// Returns whether its program is told the number of sound channels.
    pub fn is_told_channels(&self) -> bool {
        self.is_told("{channels}")
    }

    /// Warning that talks may sound too high or too low: a program that is not told their rate has one
    /// of its own.
    pub fn doubt(&self) -> Option<&'static str> {
        let is_any = self.sample_rate.is_some() || self.command.is_none() || self.is_told("{rate}");
        (!is_any).then_some("the speaker's program is not told the rate of what it plays, and sound of another rate than its own is too high or too low: put {rate} into its command, or say which rate it plays (sample_rate = 16000)")
    }

    fn is_told(&self, what: &str) -> bool {
        let arguments = self.command.iter().flatten();
        arguments.into_iter().any(|text| text.contains(what))
    }
}

/// Source of a channel's picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// `{ kind = "sim" }`: the simulated camera.
    #[cfg(feature = "sim")]
    Sim(peercam_hal::sim::Config),
    /// `{ kind = "file", path = "…" }`: a media file in a loop. The path is relative to the
    /// configuration file.
    File {
        /// The file.
        path: PathBuf,
    },
    /// `{ kind = "rtsp", url = "…" }`: a camera that speaks RTSP.
    #[cfg(feature = "rtsp")]
    Rtsp(Box<peercam_hal::rtsp::Config>),
    /// `{ kind = "jpeg", url = "…" }`: a camera that hands over JPEGs by HTTP.
    #[cfg(feature = "rtsp")]
    Jpeg(Box<peercam_hal::rtsp::JpegConfig>),
    /// `{ kind = "socket", path = "…" }`: firmware that connects to a Unix socket. Channels with
    /// the same path share the socket. The path is relative to the configuration file.
    Socket {
        /// The socket.
        config: peercam_hal::socket::Config,
    },
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// [`ConfigError`] naming file, line, key and what is allowed.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        Self::parse(&text, path)
    }

    /// Reads a configuration's text; `path` is for messages and for relative paths in it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let base = path.parent().unwrap_or(Path::new(""));
        toml::from_str::<raw::Config>(text)
            .map_err(|error| ConfigError::from_toml(text, path, &error))?
            .check(base)
            .map_err(|problem| problem.locate(text, path))
    }

    /// Settings that work, and hardly as they were meant: one sentence each.
    pub fn doubts(&self) -> impl Iterator<Item = String> + '_ {
        let speakers = self.channels.iter().filter_map(|channel| {
            let doubt = channel.speaker.doubt()?;
            Some(format!("channel {}: {doubt}", channel.id))
        });
        let doubts = self.user.doubts().chain(speakers);
        #[cfg(feature = "record")]
        let doubts = doubts.chain(self.short_files());
        doubts
    }

    /// Configuration of a `peercam` without a file: one simulated camera on
    /// 127.0.0.1:34567, of which up to 1 GiB is recorded.
    #[cfg(feature = "sim")]
    pub fn simulated_camera() -> Self {
        let channel = Channel {
            id: ChannelId(0),
            name: "camera 0".to_owned(),
            source: Source::Sim(peercam_hal::sim::Config::default()),
            sound: AudioPolicy::default(),
            speaker: Speaker::default(),
            #[cfg(feature = "record")]
            record: None,
        };
        let config = Self::without_channels();
        Self {
            channels: vec![channel],
            #[cfg(feature = "record")]
            record: Some(Record::in_directory(config.data_dir.join("recordings"))),
            ..config
        }
    }

    /// Every default.
    fn without_channels() -> Self {
        Self {
            data_dir: PathBuf::from("peercam-data"),
            device: Device {
                product_id: "PEERCAMSIM".to_owned(),
                device_name: "sim_0001".to_owned(),
                timezone: TimeZone::try_system().unwrap_or(TimeZone::UTC),
            },
            listen: vec![Listen {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 34567)),
                access: ListenAccess::Open {
                    allow_origins: Vec::new(),
                    allow_insecure_lan: false,
                    allow_placeholder_hosts: false,
                },
            }],
            access: Access { max_sessions: 4 },
            #[cfg(feature = "p2p")]
            p2p: Some(P2p::default()),
            #[cfg(feature = "record")]
            record: None,
            talk: talk::Config::default(),
            call_ring: Duration::from_secs(30),
            user: UserDefine::default(),
            http: Http {
                max_connections: 256,
                max_viewers: 32,
                timeouts: Timeouts::default(),
                body_timeout: BODY_TIMEOUT,
            },
            live: live::Config::default(),
            hevc: HevcForm::default(),
            runtime: Runtime {
                threads: 1,
                memory: None,
            },
            channels: Vec::new(),
        }
    }
}

#[cfg(feature = "record")]
impl Config {
    /// Warning that files end before they are as long as they should be, if they do at the rates of the
    /// cameras.
    fn short_files(&self) -> Option<String> {
        let record = self.record.as_ref()?;
        let recorded = self
            .channels
            .iter()
            .filter(|channel| channel.record.unwrap_or(record.mode) != crate::record::Mode::Off);
        let quality = record.config.quality;
        let rate = recorded
            .map(|channel| channel.source.usual_rate(quality))
            .max()?;
        record.short_files(rate)
    }
}

impl Source {
    /// Bits per second of this quality: those that are known, or else the usual ones.
    #[cfg(feature = "record")]
    fn usual_rate(&self, quality: peercam_proto::media::Quality) -> u32 {
        const USUAL: [u32; 3] = [500_000, 1_500_000, 4_000_000];
        match self {
            #[cfg(feature = "sim")]
            Self::Sim(sim) => sim.bitrate[quality as usize],
            _ => USUAL[quality as usize],
        }
    }
}

/// Numbers that occur twice.
fn repeated<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    values.into_iter().find(|value| !seen.insert(*value))
}
