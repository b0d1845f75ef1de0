//! `[[channel]]`: cameras, their sound and their speakers.

use std::{collections::BTreeSet, path::Path};

use peercam_hal::AudioPolicy;
use peercam_proto::media::ChannelId;

use super::{Source, source::Kind};
use crate::document::{Table, Value};
#[cfg(feature = "record")]
use crate::record::Mode;

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
    pub record: Option<Mode>,
}

/// Speaker of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speaker {
    /// A program and its arguments, in place of the camera's own speaker.
    pub command: Option<Vec<String>>,
    /// The only rate that it takes, in samples per second.
    pub sample_rate: Option<u32>,
}

const SOURCE: &str = "{ kind = \"rtsp\", url = \"rtsp://HOST/PATH\" }";
const SPEAKER: &str = "{ command = [\"aplay\", \"-q\"] }";

/// Words of `audio`. `camera` and `none` are older ones for the last two.
const AUDIO: [(&str, AudioPolicy); 4] = [
    ("silence", AudioPolicy::Silence),
    ("aac", AudioPolicy::Aac),
    ("pass", AudioPolicy::Pass),
    ("off", AudioPolicy::Off),
];

/// Reads every `[[channel]]`; there is one at least. Paths are relative to `base`.
pub(super) fn read(root: &mut Table<'_>, base: &Path) -> Vec<Channel> {
    let tables = root.tables("channel").unwrap_or_default();
    if root.peek("channel").is_empty() {
        root.refuse("there is no [[channel]]; the device needs one camera at least");
    }
    let (mut channels, mut ids) = (Vec::new(), BTreeSet::new());
    for mut table in tables {
        let channel = Channel::read(&mut table, base, &mut ids, &channels);
        channels.extend(channel);
    }
    channels
}

impl Channel {
    fn read(
        table: &mut Table<'_>,
        base: &Path,
        ids: &mut BTreeSet<ChannelId>,
        others: &[Self],
    ) -> Option<Self> {
        let number = table.require("id", "a number by which requests name it, such as 0");
        let id = number.number(0..=65_535).map(ChannelId);
        if id.is_some_and(|id| !ids.insert(id)) {
            number.refuse(format!("channel {} is there twice", id.unwrap_or_default()));
        }
        let name = name(table.get("name"));
        let audio = table.get("audio");
        let speaker = table.get("speaker");
        let speaker = table.open(speaker, SPEAKER);
        let speaker = speaker.map(Speaker::read).unwrap_or_default();
        #[cfg(feature = "record")]
        let mode = table.get("record");
        let source = table.require("source", SOURCE);
        let mut options = table.open(source, SOURCE)?;
        let kind = Kind::read(&mut options)?;
        let own_audio = match kind {
            Kind::Jpeg => options.peek("audio"),
            Kind::Sim | Kind::File | Kind::Rtsp | Kind::Socket | Kind::Own => options.get("audio"),
        };
        let sound = sound(kind, audio, own_audio);
        #[cfg(feature = "record")]
        let record = record_mode(kind, mode);
        let source = kind.source(&mut options, base, sound)?;
        let id = id?;
        source.refuse_other_access(&options, id, others);
        Some(Self {
            id,
            name: name.unwrap_or_else(|| format!("camera {id}")),
            source,
            sound,
            speaker,
            #[cfg(feature = "record")]
            record,
        })
    }
}

fn name(value: Value<'_>) -> Option<String> {
    let name = value.string()?;
    let is_name = (1..=64).contains(&name.len()) && !name.contains(char::is_control);
    let message = "1 to 64 printable characters are allowed";
    value.accept(is_name.then(|| name.to_owned()).ok_or(message))
}

/// Sound that viewers get of a channel. `audio` of a source says it as well, but for a simulated
/// camera, where it is the microphone's: one without a microphone has no sound unless the channel
/// wants silence.
fn sound(kind: Kind, channel: Value<'_>, source: Value<'_>) -> AudioPolicy {
    if kind == Kind::Sim && !channel.is_there() && source.is("none") {
        return AudioPolicy::Off;
    }
    if matches!(kind, Kind::Sim | Kind::Jpeg) || !source.is_there() {
        return policy(channel).unwrap_or_default();
    }
    if channel.is_there() {
        source.refuse("the channel says audio already");
    }
    policy(source).unwrap_or_default()
}

fn policy(value: Value<'_>) -> Option<AudioPolicy> {
    let policy = match value.string()? {
        "camera" => AudioPolicy::Pass,
        "none" => AudioPolicy::Off,
        _ => value.word(&AUDIO)?,
    };
    if policy == AudioPolicy::Aac && !cfg!(feature = "aac") {
        value.refuse("this program was built without the feature aac");
    }
    Some(policy)
}

/// Recording mode of a channel, if it is known without `[record]`. For single pictures it is.
#[cfg(feature = "record")]
fn record_mode(kind: Kind, value: Value<'_>) -> Option<Mode> {
    let mode = value.word(&Mode::WORDS);
    if kind != Kind::Jpeg {
        return mode;
    }
    if mode.is_some_and(|mode| mode != Mode::Off) {
        value.refuse("single pictures are not recorded: off is allowed");
    }
    Some(Mode::Off)
}

impl Speaker {
    fn read(mut table: Table<'_>) -> Self {
        Self {
            command: command(table.get("command")),
            sample_rate: table.get("sample_rate").number(8_000..=48_000),
        }
    }

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

fn command(value: Value<'_>) -> Option<Vec<String>> {
    let words = value.list()?.map(|word| word.string().map(str::to_owned));
    let command: Vec<_> = words.collect::<Option<_>>()?;
    let is_command = command.first().is_some_and(|program| !program.is_empty());
    let message = "a program and its arguments are needed";
    value.accept(is_command.then_some(command).ok_or(message))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    #[test]
    fn a_speaker_is_a_program_or_has_a_rate_or_both() {
        let speaker = |text: &str| {
            let text = format!(
                "[[channel]]\nid = 0\nspeaker = {text}\nsource = {{ kind = \"file\", path = \"x\" }}\n"
            );
            let config = Config::parse(&text, Path::new("c.toml"));
            config.map(|config| config.channels[0].speaker.clone())
        };
        for (text, rate, any_rate, told_channels) in [
            ("{}", None, true, false),
            ("{ sample_rate = 8000 }", Some(8_000), true, false),
            (r#"{ command = ["play", "-r{rate}"] }"#, None, true, false),
            (r#"{ command = ["play", "{channels}"] }"#, None, false, true),
            (
                r#"{ command = ["play"], sample_rate = 48000 }"#,
                Some(48_000),
                true,
                false,
            ),
        ] {
            let found = speaker(text).expect("a speaker");
            assert_eq!(found.sample_rate, rate, "{text}");
            assert_eq!(found.doubt().is_none(), any_rate, "{text}");
            assert_eq!(found.is_told_channels(), told_channels, "{text}");
        }
        for (text, word) in [
            ("{ command = [] }", "a program and its arguments"),
            ("{ sample_rate = 4000 }", "8000 to 48000"),
        ] {
            let error = speaker(text).expect_err("a mistake").to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
