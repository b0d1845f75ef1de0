//! `audio` of a channel, and words in general.

use peercam_hal::AudioPolicy;
use toml::Spanned;

use super::{
    error::Problem,
    source::{Source, SourceKind},
};

pub(super) fn word(value: Option<&Spanned<String>>) -> Option<&str> {
    value.map(|value| value.get_ref().as_str())
}

pub(super) fn needed(value: Option<Spanned<String>>, what: &str) -> Problem {
    Problem::at(value.map(|value| value.span()).unwrap_or_default(), what)
}

/// Sound that viewers get of a channel. `audio` of a source says it as well, but for a simulated
/// camera, where it is the microphone's: one without a microphone has no sound unless the channel
/// wants silence.
pub(super) fn policy(
    channel: Option<Spanned<String>>,
    source: &mut Source,
) -> Result<AudioPolicy, Problem> {
    let of_source = match source.kind.get_ref() {
        // Of JPEGs it is an option that they have not got.
        SourceKind::Sim | SourceKind::Jpeg => None,
        SourceKind::File | SourceKind::Rtsp | SourceKind::Socket => source.audio.take(),
    };
    let value = match (channel, of_source) {
        (Some(_), Some(again)) => {
            return Err(Problem::at(again.span(), "the channel says audio already"));
        }
        (channel, of_source) => channel.or(of_source),
    };
    match word(value.as_ref()) {
        None => Ok(match word(source.audio.as_ref()) {
            Some("none") => AudioPolicy::Off,
            _ => AudioPolicy::default(),
        }),
        Some("aac") if cfg!(feature = "aac") => Ok(AudioPolicy::Aac),
        Some("aac") => Err(needed(
            value,
            "this program was built without the feature aac",
        )),
        Some("silence") => Ok(AudioPolicy::Silence),
        // The second words are older.
        Some("pass" | "camera") => Ok(AudioPolicy::Pass),
        Some("off" | "none") => Ok(AudioPolicy::Off),
        Some(_) => Err(needed(value, "silence, aac, pass or off is needed")),
    }
}
