//! `audio` of a real camera, and words in general.

use toml::Spanned;

use super::error::Problem;
use crate::hal::SoundForm;

pub(super) fn word(value: Option<&Spanned<String>>) -> Option<&str> {
    value.map(|value| value.get_ref().as_str())
}

pub(super) fn needed(value: Option<Spanned<String>>, what: &str) -> Problem {
    Problem::at(value.map(|value| value.span()).unwrap_or_default(), what)
}

/// What viewers get of a camera's sound.
pub(super) fn sound(value: Option<Spanned<String>>) -> Result<SoundForm, Problem> {
    match word(value.as_ref()) {
        None => Ok(SoundForm::default()),
        Some("aac") if cfg!(feature = "aac") => Ok(SoundForm::Aac),
        Some("aac") => Err(needed(
            value,
            "this program was built without the feature aac",
        )),
        Some("camera") => Ok(SoundForm::AsItIs),
        Some("none") => Ok(SoundForm::None),
        Some(_) => Err(needed(value, "aac, camera or none is needed")),
    }
}
