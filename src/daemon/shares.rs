//! How the numbers of the configuration are shared out, so that nobody has all of anything.

use crate::{budget::Budget, config::Config};

/// Media responses of one credential, however few there are for each.
const MIN_MEDIA: usize = 6;

/// What each part gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// Media responses of one credential.
    pub(super) media: usize,
}

impl Shares {
    pub(super) fn of(config: &Config, budget: &Budget) -> Self {
        Self {
            media: media(budget.viewers, config.access.max_sessions),
        }
    }
}

/// Two guests never have all places, where there are three or more.
fn media(viewers: usize, sessions: usize) -> usize {
    match sessions {
        1 => viewers,
        _ => (viewers / sessions)
            .max(MIN_MEDIA)
            .min((viewers - 1) / 2)
            .max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_guests_never_have_all_media() {
        assert_eq!((media(32, 4), media(300, 4), media(8, 1)), (8, 75, 8));
        for viewers in 3..100 {
            for sessions in 2..20 {
                let share = media(viewers, sessions);
                assert!((1..viewers.div_ceil(2)).contains(&share), "{viewers}");
            }
        }
        assert_eq!((media(1, 4), media(2, 4)), (1, 1));
    }
}
