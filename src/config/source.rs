//! `[[channel]]`: cameras and where their pictures come from.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

#[cfg(feature = "sim")]
use super::checks::within;
use super::{checks::refuse, error::Problem, signalling::RawSpeaker};
use crate::media::ChannelId;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Channel {
    pub(super) id: Spanned<u16>,
    name: Option<Spanned<String>>,
    source: Source,
    speaker: Option<RawSpeaker>,
    #[cfg(feature = "record")]
    record: Option<super::record::RawMode>,
}

/// Every option of every kind of source.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    kind: Spanned<SourceKind>,
    // file
    path: Option<Spanned<PathBuf>>,
    // sim
    audio: Option<Spanned<String>>,
    gop: Option<Spanned<u64>>,
    bitrate: Option<Spanned<Vec<u64>>>,
    force_key: Option<Spanned<bool>>,
    faults: Option<Spanned<Vec<Spanned<String>>>>,
    seed: Option<Spanned<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SourceKind {
    #[cfg(feature = "sim")]
    Sim,
    File,
}

impl Channel {
    pub(super) fn check(self, base: &Path) -> Result<super::Channel, Problem> {
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
        Ok(super::Channel {
            id,
            name,
            source: self.source.check(base)?,
            speaker: self.speaker.map(RawSpeaker::check).transpose()?,
            #[cfg(feature = "record")]
            record: self.record.map(Into::into),
        })
    }
}

impl Source {
    fn check(self, base: &Path) -> Result<super::Source, Problem> {
        self.refuse_foreign_options()?;
        match *self.kind.get_ref() {
            #[cfg(feature = "sim")]
            SourceKind::Sim => self.sim().map(super::Source::Sim),
            SourceKind::File => match self.path {
                Some(path) => Ok(super::Source::File {
                    path: base.join(path.into_inner()),
                }),
                None => Err(Problem::at(self.kind.span(), "a file source needs a path")),
            },
        }
    }

    /// An option of another kind is a mistake, not a wish.
    fn refuse_foreign_options(&self) -> Result<(), Problem> {
        let foreign = match *self.kind.get_ref() {
            #[cfg(feature = "sim")]
            SourceKind::Sim => vec![self.path.as_ref().map(Spanned::span)],
            SourceKind::File => vec![
                self.audio.as_ref().map(Spanned::span),
                self.gop.as_ref().map(Spanned::span),
                self.bitrate.as_ref().map(Spanned::span),
                self.force_key.as_ref().map(Spanned::span),
                self.faults.as_ref().map(Spanned::span),
                self.seed.as_ref().map(Spanned::span),
            ],
        };
        let first = foreign.into_iter().flatten().next();
        refuse(first, "this kind of source has no such option")
    }

    #[cfg(feature = "sim")]
    fn sim(self) -> Result<crate::hal::sim::Config, Problem> {
        use crate::hal::sim::{AudioKind, BITRATES, Config, Fault, Faults};
        let mut config = Config::default();
        if let Some(audio) = self.audio {
            config.audio = match audio.get_ref().as_str() {
                "aac" => AudioKind::Aac,
                "pcma" => AudioKind::Pcma,
                "pcmu" => AudioKind::Pcmu,
                "none" => AudioKind::None,
                _ => {
                    return Err(Problem::at(
                        audio.span(),
                        "aac, pcma, pcmu or none are allowed",
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
