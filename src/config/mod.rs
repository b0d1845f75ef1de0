//! The configuration: one TOML file, typed, unknown keys refused, every mistake told in one run.
//!
//! Each part of the daemon has its own small configuration, which reads its own table
//! (`document::Table`) and knows its defaults; this composes them, and has those of parts that are
//! composed too. `config/full.toml` shows every key with its default.

mod change;
mod channel;
mod device;
mod error;
mod files;
mod http;
mod listen;
#[cfg(feature = "p2p")]
mod p2p;
#[cfg(feature = "record")]
mod record;
#[cfg(feature = "rtsp")]
mod rtsp;
#[cfg(feature = "sim")]
mod sim;
mod socket;
mod source;
mod user_define;

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

pub use change::{Change, ReloadReport};
pub use channel::{Channel, Speaker};
pub use device::Device;
pub use error::ConfigError;
pub use http::Http;
pub use listen::{Listen, ListenAccess};
#[cfg(feature = "p2p")]
pub use p2p::{P2p, RelayCaError};
use peercam_proto::{credential::RelayToken, flv::HevcForm};
#[cfg(feature = "record")]
pub use record::Record;
pub use source::Source;
pub use user_define::{Handler, UserDefine};

pub use crate::document::duration;
#[cfg(feature = "record")]
use crate::record::Mode;
use crate::{
    document::{self, Mistake, Table},
    live, talk,
};

/// The whole configuration, parsed and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// File that it was read from, and from which it is read again; `None` if it was read from none.
    pub file: Option<PathBuf>,
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
    /// Set if nothing is recorded whatever the file says, also when it is read again: no key, but
    /// `--no-record`.
    #[cfg(feature = "record")]
    pub no_record: bool,
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

/// `[access]`: those who were paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// `max_sessions`: viewers that proved themselves, at a time. Default: 4.
    pub max_sessions: usize,
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

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake: file, line, key and what is allowed.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = text_of(path);
        let text = text.map_err(|why| ConfigError::new(path, vec![Mistake::general(why)]))?;
        let config = Self::parse(&text, path)?;
        Ok(Self {
            file: Some(path.to_owned()),
            ..config
        })
    }

    /// Reads nothing but `data_dir`, of a file whose other keys may have mistakes: those of a running
    /// daemon are mended while it runs. Without a file it is that of a `peercam` without any.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read, or is no TOML.
    pub fn data_dir_of(path: Option<&Path>) -> Result<PathBuf, ConfigError> {
        let data_dir = Self::without_channels().data_dir;
        let Some(path) = path else {
            return Ok(data_dir);
        };
        let base = path.parent().unwrap_or(Path::new(""));
        let read = |root: &mut Table<'_>| {
            let named = root.get("data_dir").directory();
            root.leave();
            base.join(named.unwrap_or(data_dir))
        };
        let text = text_of(path).map_err(|why| vec![Mistake::general(why)]);
        let read = text.and_then(|text| document::read(&text, read));
        read.map_err(|mistakes| ConfigError::new(path, mistakes))
    }

    /// Reads a configuration's text; `path` is for messages and for relative paths in it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let base = path.parent().unwrap_or(Path::new(""));
        document::read(text, |root| Self::read(root, base))
            .map_err(|mistakes| ConfigError::new(path, mistakes))
    }

    /// Paths are relative to `base`.
    fn read(root: &mut Table<'_>, base: &Path) -> Self {
        let mut config = Self::without_channels();
        let data_dir = root.get("data_dir").directory().unwrap_or(config.data_dir);
        config.data_dir = base.join(data_dir);
        config.device.read(&mut root.table("device"));
        listen::read(root, &mut config.listen);
        config.access.read(&mut root.table("access"));
        #[cfg(feature = "p2p")]
        {
            config.p2p = P2p::read(&mut root.table("p2p"), base);
        }
        #[cfg(not(feature = "p2p"))]
        refuse_unbuilt(root.find("p2p"), "this build has no P2P");
        #[cfg(feature = "record")]
        {
            let record = root.find("record");
            config.record = record.and_then(|mut table| Record::read(&mut table, &config.data_dir));
        }
        #[cfg(not(feature = "record"))]
        refuse_unbuilt(root.find("record"), "this build records nothing");
        config.talk.read(&mut root.table("talkback"));
        let ring = Duration::from_secs(1)..=Duration::from_mins(5);
        let ring = root.table("call").get("ring").duration(ring);
        config.call_ring = ring.unwrap_or(config.call_ring);
        config.user = UserDefine::read(&mut root.table("user_define"));
        let is_token = |listen: &Listen| matches!(listen.access, ListenAccess::Token { .. });
        let has_token = config.listen.iter().any(is_token);
        config.http.read(&mut root.table("http"), has_token);
        let mut live = root.table("live");
        config.live.read(&mut live);
        let forms = [("legacy", HevcForm::Legacy), ("hvc1", HevcForm::Hvc1)];
        config.hevc = live.get("hevc").word(&forms).unwrap_or(config.hevc);
        config.runtime.read(&mut root.table("runtime"));
        config.channels = channel::read(root, base);
        config
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

    /// Place and limit of the recordings, in words; `None` if nothing is recorded.
    pub fn recordings(&self) -> Option<String> {
        #[cfg(feature = "record")]
        {
            let record = self.record.as_ref()?;
            self.recorded().next().map(|_| record.in_words())
        }
        #[cfg(not(feature = "record"))]
        None
    }

    /// Configuration of a `peercam` without a file: one simulated camera on
    /// 127.0.0.1:34567, of which up to 1 GiB is recorded.
    #[cfg(feature = "sim")]
    pub fn simulated_camera() -> Self {
        let channel = Channel {
            id: peercam_proto::media::ChannelId(0),
            name: "camera 0".to_owned(),
            source: Source::Sim(peercam_hal::sim::Config::default()),
            sound: peercam_hal::AudioPolicy::default(),
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
            file: None,
            data_dir: PathBuf::from("peercam-data"),
            device: Device::default(),
            listen: vec![Listen::default()],
            access: Access { max_sessions: 4 },
            #[cfg(feature = "p2p")]
            p2p: Some(P2p::default()),
            #[cfg(feature = "record")]
            record: None,
            #[cfg(feature = "record")]
            no_record: false,
            talk: talk::Config::default(),
            call_ring: Duration::from_secs(30),
            user: UserDefine::default(),
            http: Http::default(),
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

/// Bytes that no configuration has.
const TOO_LARGE: u64 = 1 << 20;

/// Reads a file that may be any; the reason if it can be no configuration.
fn text_of(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TOO_LARGE).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 == TOO_LARGE {
        return Err("is too large for a configuration; is it the right file?".to_owned());
    }
    let is_utf_16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let why = if is_utf_16 {
        "is text in UTF-16, and a configuration is in UTF-8: save it so"
    } else {
        "is no text in UTF-8, as a configuration is; is it the right file?"
    };
    String::from_utf8(bytes).map_err(|_| why.to_owned())
}

impl Config {
    /// Token that the relays want to see; `None` if they want none, and without P2P.
    pub(crate) fn relay_token(&self) -> Option<RelayToken> {
        #[cfg(feature = "p2p")]
        return self.p2p.as_ref()?.relay_token.clone();
        #[cfg(not(feature = "p2p"))]
        None
    }
}

#[cfg(feature = "record")]
impl Config {
    /// The same, of which nothing is recorded, also when it is read again.
    #[must_use]
    pub fn without_recordings(self) -> Self {
        Self {
            record: None,
            no_record: true,
            ..self
        }
    }

    /// Channels of which something is recorded.
    fn recorded(&self) -> impl Iterator<Item = &Channel> {
        let mode = self.record.as_ref().map_or(Mode::Off, |record| record.mode);
        let channels = self.channels.iter();
        channels.filter(move |channel| channel.record.unwrap_or(mode) != Mode::Off)
    }

    /// Warning that files end before they are as long as they should be, if they do at the rates of the
    /// cameras.
    fn short_files(&self) -> Option<String> {
        let record = self.record.as_ref()?;
        let quality = record.config.quality;
        let rate = self
            .recorded()
            .map(|channel| channel.source.usual_rate(quality))
            .max()?;
        record.short_files(rate)
    }
}

impl Access {
    fn read(&mut self, table: &mut Table<'_>) {
        let sessions = table.get("max_sessions").number(1..=1000);
        self.max_sessions = sessions.unwrap_or(self.max_sessions);
    }
}

impl Runtime {
    fn read(&mut self, table: &mut Table<'_>) {
        self.threads = table.get("threads").number(1..=64).unwrap_or(self.threads);
        self.memory = table.get("memory").size(1 << 20..=1 << 40);
    }
}

/// Refuses the table of a part that was not built, but one that says that it is off.
#[cfg(not(all(feature = "p2p", feature = "record")))]
fn refuse_unbuilt(table: Option<Table<'_>>, message: &str) {
    if let Some(mut table) = table
        && table.get("enabled").flag() != Some(false)
    {
        table.refuse(message);
        table.leave();
    }
}
