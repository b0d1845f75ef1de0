//! Checks that several tables share.

use toml::Spanned;

use super::{error::Problem, units::Size};

pub(super) fn name(
    value: Spanned<String>,
    max: usize,
    extra: fn(char) -> bool,
    allowed: &str,
) -> Result<String, Problem> {
    let text = value.get_ref();
    if (1..=max).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || extra(c))
    {
        return Ok(value.into_inner());
    }
    Err(Problem::at(
        value.span(),
        format!("1 to {max} characters are allowed, of {allowed}"),
    ))
}

/// An option of another kind of table is a mistake, not a wish.
pub(super) fn refuse(span: Option<std::ops::Range<usize>>, message: &str) -> Result<(), Problem> {
    match span {
        Some(span) => Err(Problem::at(span, message)),
        None => Ok(()),
    }
}

pub(super) fn size(value: Spanned<Size>) -> Spanned<u64> {
    let span = value.span();
    Spanned::new(span, value.into_inner().0)
}

pub(super) fn within<T: TryFrom<u64> + TryInto<u64> + Copy>(
    value: Option<Spanned<u64>>,
    default: T,
    least: u64,
    most: u64,
    least_text: &str,
    most_text: &str,
) -> Result<T, Problem> {
    let Some(value) = value else {
        return Ok(default);
    };
    let span = value.span();
    let number = value.into_inner();
    T::try_from(number)
        .ok()
        .filter(|_| (least..=most).contains(&number))
        .ok_or_else(|| Problem::at(span, format!("{least_text} to {most_text} are allowed")))
}
