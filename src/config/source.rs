//! `[[channel]]`: cameras and where their pictures come from.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use peercam_hal::AudioPolicy;
use peercam_proto::media::ChannelId;
use serde::Deserialize;
use toml::Spanned;

#[cfg(feature = "sim")]
use super::checks::within;
use super::{audio, checks::refuse, error::Problem, signalling::RawSpeaker, units::Span};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Channel {
    pub(super) id: Spanned<u16>,
    name: Option<Spanned<String>>,
    source: Source,
    audio: Option<Spanned<String>>,
    speaker: Option<RawSpeaker>,
    #[cfg(feature = "record")]
    record: Option<Spanned<super::record::RawMode>>,
}

/// Every option of every kind of source.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) kind: Spanned<SourceKind>,
    // file, socket
    pub(super) path: Option<Spanned<PathBuf>>,
    // rtsp, jpeg
    pub(super) url: Option<Spanned<String>>,
    pub(super) url_high: Option<Spanned<String>>,
    pub(super) url_standard: Option<Spanned<String>>,
    pub(super) snapshot_url: Option<Spanned<String>>,
    pub(super) user: Option<Spanned<String>>,
    pub(super) password: Option<Spanned<Masked>>,
    pub(super) transport: Option<Spanned<String>>,
    pub(super) pull: Option<Spanned<String>>,
    pub(super) linger: Option<Spanned<Span>>,
    // socket
    pub(super) mode: Option<Spanned<String>>,
    pub(super) users: Option<Spanned<Vec<u32>>>,
    // the channel's, but for a sim
    pub(super) audio: Option<Spanned<String>>,
    // sim
    gop: Option<Spanned<u64>>,
    bitrate: Option<Spanned<Vec<u64>>>,
    force_key: Option<Spanned<bool>>,
    every_picture: Option<Spanned<bool>>,
    faults: Option<Spanned<Vec<Spanned<String>>>>,
    seed: Option<Spanned<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SourceKind {
    Sim,
    File,
    Rtsp,
    Jpeg,
    Socket,
}

/// A text that is never shown.
pub(super) struct Masked(
    #[cfg_attr(
        not(feature = "rtsp"),
        expect(dead_code, reason = "its source is not built")
    )]
    pub(super) String,
);

impl<'de> Deserialize<'de> for Masked {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The usual message would show what is there.
        let text = String::deserialize(deserializer);
        text.map(Self)
            .map_err(|_| serde::de::Error::custom("a text in quotes is needed"))
    }
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Channel {
    pub(super) fn check(mut self, base: &Path) -> Result<super::Channel, Problem> {
        let id = ChannelId(self.id.into_inner());
        let name = match self.name {
            None => format!("camera {id}"),
            Some(name)
                if (1..=64).contains(&name.get_ref().len())
                    && !name.get_ref().contains(char::is_control) =>
            {
                name.into_inner()
            }
            Some(name) => {
                return Err(Problem::at(
                    name.span(),
                    "1 to 64 printable characters are allowed",
                ));
            }
        };
        let sound = audio::policy(self.audio, &mut self.source)?;
        #[cfg(feature = "record")]
        let record = super::record::of_channel(self.record, *self.source.kind.get_ref())?;
        Ok(super::Channel {
            id,
            name,
            source: self.source.check(base, sound)?,
            sound,
            speaker: self
                .speaker
                .map(RawSpeaker::check)
                .transpose()?
                .unwrap_or_default(),
            #[cfg(feature = "record")]
            record,
        })
    }
}

impl Source {
    #[cfg_attr(not(feature = "rtsp"), expect(unused_variables))]
    fn check(self, base: &Path, sound: AudioPolicy) -> Result<super::Source, Problem> {
        self.refuse_foreign_options()?;
        let kind = *self.kind.get_ref();
        match kind {
            #[cfg(feature = "sim")]
            SourceKind::Sim => self.sim().map(super::Source::Sim),
            SourceKind::File => match self.path {
                Some(path) => Ok(super::Source::File {
                    path: base.join(path.into_inner()),
                }),
                None => Err(Problem::at(self.kind.span(), "a file source needs a path")),
            },
            SourceKind::Socket => self.socket(base),
            #[cfg(feature = "rtsp")]
            SourceKind::Rtsp => self
                .rtsp(sound)
                .map(|config| super::Source::Rtsp(Box::new(config))),
            #[cfg(feature = "rtsp")]
            SourceKind::Jpeg => self
                .jpeg()
                .map(|config| super::Source::Jpeg(Box::new(config))),
            #[cfg(not(all(feature = "rtsp", feature = "sim")))]
            _ => {
                let message = "this program was built without the feature that this source needs";
                Err(Problem::at(self.kind.span(), message))
            }
        }
    }

    /// An option of another kind is a mistake, not a wish.
    fn refuse_foreign_options(&self) -> Result<(), Problem> {
        let kind = *self.kind.get_ref();
        let is = |one: SourceKind| kind == one;
        let (sim, file) = (is(SourceKind::Sim), is(SourceKind::File));
        let (rtsp, socket) = (is(SourceKind::Rtsp), is(SourceKind::Socket));
        let by_url = rtsp || is(SourceKind::Jpeg);
        let mut foreign = Vec::new();
        let mut take = |is_ours: bool, span: Option<Range<usize>>| {
            foreign.extend(span.filter(|_| !is_ours));
        };
        take(file || socket, self.path.as_ref().map(Spanned::span));
        take(by_url, self.url.as_ref().map(Spanned::span));
        let urls = [&self.url_high, &self.url_standard, &self.snapshot_url];
        for url in urls {
            take(rtsp, url.as_ref().map(Spanned::span));
        }
        take(by_url, self.user.as_ref().map(Spanned::span));
        take(by_url, self.password.as_ref().map(Spanned::span));
        take(rtsp, self.transport.as_ref().map(Spanned::span));
        take(rtsp, self.pull.as_ref().map(Spanned::span));
        take(rtsp, self.linger.as_ref().map(Spanned::span));
        // Of other kinds it was taken.
        take(sim, self.audio.as_ref().map(Spanned::span));
        take(socket, self.mode.as_ref().map(Spanned::span));
        take(socket, self.users.as_ref().map(Spanned::span));
        take(sim, self.gop.as_ref().map(Spanned::span));
        take(sim, self.bitrate.as_ref().map(Spanned::span));
        take(sim, self.force_key.as_ref().map(Spanned::span));
        take(sim, self.every_picture.as_ref().map(Spanned::span));
        take(sim, self.faults.as_ref().map(Spanned::span));
        take(sim, self.seed.as_ref().map(Spanned::span));
        let first = foreign.into_iter().next();
        refuse(first, "this kind of source has no such option")
    }

    #[cfg(feature = "sim")]
    fn sim(self) -> Result<peercam_hal::sim::Config, Problem> {
        use peercam_hal::sim::{AudioKind, BITRATES, Config, Fault, Faults};
        let mut config = Config::default();
        if let Some(audio) = self.audio {
            config.audio = match audio.get_ref().as_str() {
                "aac" => AudioKind::Aac,
                "pcma" => AudioKind::Pcma,
                "pcmu" => AudioKind::Pcmu,
                "none" | "silence" => AudioKind::None,
                _ => {
                    return Err(Problem::at(
                        audio.span(),
                        "aac, pcma, pcmu, silence or none are allowed",
                    ));
                }
            };
        }
        config.gop = within(self.gop, config.gop, 1, 1000, "1", "1000")?;
        if let Some(bitrate) = self.bitrate {
            let rates = bitrate.get_ref().iter().map(|&rate| {
                u32::try_from(rate)
                    .ok()
                    .filter(|rate| BITRATES.contains(rate))
            });
            let rates: Option<Vec<u32>> = rates.collect();
            config.bitrate = rates.and_then(|rates| rates.try_into().ok()).ok_or_else(|| {
                Problem::at(bitrate.span(), "three numbers from 50000 to 50000000 are needed: bits per second of standard, high and super")
            })?;
        }
        config.force_key = self.force_key.map_or(config.force_key, Spanned::into_inner);
        config.every_picture = self.every_picture.is_some_and(Spanned::into_inner);
        let faults = self.faults.map(Spanned::into_inner).unwrap_or_default();
        let faults = faults.into_iter().map(|fault| {
            fault
                .get_ref()
                .parse::<Fault>()
                .map_err(|error| Problem::at(fault.span(), format!("faults: {error}")))
        });
        let seed = self.seed.map_or(0, Spanned::into_inner);
        config.faults = Faults::new(seed, faults.collect::<Result<_, _>>()?);
        Ok(config)
    }
}
