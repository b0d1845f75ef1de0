//! Commands that are there before their playback: apps send both at once, and either may be first.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use peercam_proto::{command::PlaybackCommand, media::ChannelId, viewer::ViewerId};

/// Viewer and channel of a playback.
pub(super) type Key = (ViewerId, ChannelId);

/// Time for which a command waits for its playback.
const WAIT: Duration = Duration::from_secs(2);
/// Time for which a seek that a player was given counts for the one that takes its place: an app
/// that opens its player anew to seek may still have had the old one when the seek came.
const OVERTAKEN: Duration = Duration::from_millis(500);
/// Viewers and channels for which something waits. Of more, the one goes for which nothing new has
/// come for longest.
const MAX_WAITING: usize = 16;

/// Commands that wait: for each viewer and channel where the playback is to begin, and how fast.
#[derive(Debug, Default)]
pub(super) struct EarlyCommands {
    /// Newest last.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    key: Key,
    seek: Option<Kept>,
    pace: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    command: PlaybackCommand,
    at: Instant,
    /// Window of the player that was given it already.
    playing: Option<Range<i64>>,
}

impl EarlyCommands {
    /// Keeps a command for a playback that may come; `false` if it is about one that is there.
    pub(super) fn keep(&mut self, key: &Key, command: PlaybackCommand, at: Instant) -> bool {
        let kept = Kept {
            command,
            at,
            playing: None,
        };
        match command {
            PlaybackCommand::Seek(_) => self.put(key, Some(kept), None),
            PlaybackCommand::Fast { .. } | PlaybackCommand::Speed { .. } => {
                let before = self.remove(key);
                self.put(key, before.and_then(|before| before.seek), Some(kept));
            }
            PlaybackCommand::Pause
            | PlaybackCommand::Resume
            | PlaybackCommand::Progress
            | PlaybackCommand::Rewind { .. } => return false,
        }
        true
    }

    /// Notes that a player of this window has been given a command.
    pub(super) fn given(
        &mut self,
        key: &Key,
        command: PlaybackCommand,
        playing: &Range<i64>,
        at: Instant,
    ) {
        if let PlaybackCommand::Seek(_) = command {
            let kept = Kept {
                command,
                at,
                playing: Some(playing.clone()),
            };
            self.put(key, Some(kept), None);
        }
    }

    /// Returns the commands that the playback of this window, which begins now, is to follow, in
    /// order. They are gone then.
    pub(super) fn take(
        &mut self,
        key: &Key,
        window: &Range<i64>,
        now: Instant,
    ) -> impl Iterator<Item = PlaybackCommand> + use<> {
        let waiting = self.remove(key);
        let counts = |kept: &Kept| {
            let age = now.saturating_duration_since(kept.at);
            match &kept.playing {
                None => age <= WAIT,
                Some(playing) => age <= OVERTAKEN && playing == window,
            }
        };
        let kept = waiting.map_or([None, None], |waiting| [waiting.seek, waiting.pace]);
        let kept = kept.map(|kept| kept.filter(counts));
        kept.into_iter().flatten().map(|kept| kept.command)
    }

    fn remove(&mut self, key: &Key) -> Option<Waiting> {
        let at = self.waiting.iter().position(|waiting| waiting.key == *key);
        at.map(|at| self.waiting.remove(at))
    }

    fn put(&mut self, key: &Key, seek: Option<Kept>, pace: Option<Kept>) {
        self.remove(key);
        if self.waiting.len() == MAX_WAITING {
            self.waiting.remove(0);
        }
        let key = key.clone();
        self.waiting.push(Waiting { key, seek, pace });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peercam_proto::command::SeekTo;

    const FAST: PlaybackCommand = PlaybackCommand::Fast { every: 2 };
    const WINDOW: Range<i64> = 0..60_000;

    fn seek(millis: i64) -> PlaybackCommand {
        PlaybackCommand::Seek(SeekTo::Offset { millis })
    }

    fn key(viewer: &str) -> Key {
        (ViewerId::unauthenticated(&viewer.into()), ChannelId(0))
    }

    fn taken(early: &mut EarlyCommands, viewer: &str, now: Instant) -> Vec<PlaybackCommand> {
        early.take(&key(viewer), &WINDOW, now).collect()
    }

    #[test]
    fn what_comes_first_waits_for_two_seconds_and_counts_once() {
        let mut early = EarlyCommands::default();
        let now = Instant::now();
        for (age, expected) in [(0, vec![seek(7)]), (2_000, vec![seek(7)]), (2_001, vec![])] {
            assert!(early.keep(&key("a"), seek(3), now));
            assert!(early.keep(&key("a"), seek(7), now));
            let later = now + Duration::from_millis(age);
            assert_eq!(taken(&mut early, "b", later), [], "somebody else's");
            let other = (key("a").0, ChannelId(1));
            assert_eq!(early.take(&other, &WINDOW, later).count(), 0);
            assert_eq!(taken(&mut early, "a", later), expected, "{age} ms");
            assert_eq!(taken(&mut early, "a", later), []);
        }
    }

    #[test]
    fn a_pace_goes_on_with_its_seek_and_a_new_seek_is_at_the_normal_pace() {
        let mut early = EarlyCommands::default();
        let now = Instant::now();
        for (commands, expected) in [
            (vec![seek(7), FAST], vec![seek(7), FAST]),
            (vec![FAST, seek(7)], vec![seek(7)]),
            (vec![FAST], vec![FAST]),
        ] {
            for command in commands {
                assert!(early.keep(&key("a"), command, now));
            }
            assert_eq!(taken(&mut early, "a", now), expected);
        }
        let about_what_is_there = [
            PlaybackCommand::Pause,
            PlaybackCommand::Resume,
            PlaybackCommand::Progress,
            PlaybackCommand::Rewind {
                from: None,
                to: None,
            },
        ];
        for command in about_what_is_there {
            assert!(!early.keep(&key("a"), command, now), "{command:?}");
        }
        assert_eq!(taken(&mut early, "a", now), []);
    }

    #[test]
    fn a_seek_that_the_old_player_got_counts_for_the_same_playback_that_follows_at_once() {
        let mut early = EarlyCommands::default();
        let now = Instant::now();
        for (window, age, expected) in [
            (WINDOW, 100, vec![seek(7)]),
            (WINDOW, 600, vec![]),
            (0..50_000, 100, vec![]),
        ] {
            early.given(&key("a"), seek(7), &WINDOW, now);
            let later = now + Duration::from_millis(age);
            let taken: Vec<_> = early.take(&key("a"), &window, later).collect();
            assert_eq!(taken, expected, "{window:?} after {age} ms");
        }
        early.given(&key("a"), FAST, &WINDOW, now);
        assert_eq!(taken(&mut early, "a", now), []);
    }

    #[test]
    fn it_is_bounded_and_the_oldest_goes() {
        let mut early = EarlyCommands::default();
        let now = Instant::now();
        for number in 0..=MAX_WAITING {
            early.keep(&key(&number.to_string()), seek(7), now);
            early.keep(&key("0"), seek(7), now);
        }
        assert_eq!(early.waiting.len(), MAX_WAITING);
        assert_eq!(taken(&mut early, "1", now), []);
        assert_eq!(taken(&mut early, "0", now), [seek(7)]);
        assert_eq!(taken(&mut early, "2", now), [seek(7)]);
    }
}
