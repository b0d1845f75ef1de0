//! Help of the program as a whole: subcommands by what they are for, and the option `--config` where
//! it means something.

use std::fmt::Write;

use clap::Command;

/// Subcommands that belong together, under their heading, in the order in which they are shown. A
/// build without some of them leaves them out; a test holds that none is missing here.
const GROUPS: [(&str, &[&str]); 4] = [
    (
        "Camera",
        &[
            "run", "check", "reload", "status", "events", "log", "doctor", "probe", "record",
        ],
    ),
    ("Access", &["pair", "revoke", "mint-key"]),
    (
        "Viewer",
        &[
            "proxy", "pull", "snapshot", "command", "download", "talk", "identity",
        ],
    ),
    ("Shell", &["completions"]),
];

/// Subcommands that read no configuration, or have an argument for it. They take `--config`, as all
/// do, and do not show it.
const WITHOUT_CONFIG: [&str; 10] = [
    "check",
    "probe",
    "proxy",
    "pull",
    "snapshot",
    "command",
    "download",
    "talk",
    "identity",
    "completions",
];

/// Width of the column with the subcommands' names.
const NAME_WIDTH: usize = 13;

/// Arranges the help of the whole program, with all its subcommands.
pub(super) fn arrange(command: Command) -> Command {
    let template = template(&command);
    let config = command.get_arguments().find(|arg| arg.get_id() == "config");
    let hidden = config.cloned().map(|arg| arg.hide(true));
    let order = |name: &str| {
        let mut grouped = GROUPS.iter().flat_map(|(_, names)| *names);
        grouped
            .position(|grouped| *grouped == name)
            .unwrap_or_default()
    };
    command
        .help_template(template)
        .mut_subcommands(|subcommand| {
            let order = order(subcommand.get_name());
            let is_hidden = WITHOUT_CONFIG.contains(&subcommand.get_name());
            // A global option is not handed down to where it is defined already.
            let config = hidden.iter().filter(|_| is_hidden);
            subcommand.display_order(order).args(config)
        })
}

/// Template of the help text, since clap knows no groups of subcommands.
fn template(command: &Command) -> String {
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    for (heading, names) in GROUPS {
        let mut members = names
            .iter()
            .filter_map(|name| command.find_subcommand(name))
            .peekable();
        if members.peek().is_some() {
            write!(text, "\n{heading}:\n").expect("strings take everything");
        }
        for member in members {
            let (name, about) = (member.get_name(), member.get_about().unwrap_or_default());
            writeln!(text, "  {name:NAME_WIDTH$}{about}").expect("strings take everything");
        }
    }
    text.push_str("\nOptions:\n{options}{after-help}");
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory, Parser};

    use super::super::Cli;
    use super::*;

    /// Every subcommand that does something, with its path.
    fn leaves(command: &Command, path: &str) -> Vec<(String, Command)> {
        let visible = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
        let mut found = Vec::new();
        for subcommand in command.get_subcommands().filter(visible) {
            let path = format!("{path} {}", subcommand.get_name());
            if subcommand.has_subcommands() {
                found.append(&mut leaves(subcommand, &path));
            } else {
                found.push((path, subcommand.clone()));
            }
        }
        found
    }

    fn built() -> Command {
        let mut command = Cli::command();
        command.build();
        command
    }

    /// Words of a line as a shell splits it, up to a pipe or a redirection.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut is_quoted) = (Vec::new(), None, false);
        for c in line.chars() {
            match c {
                '\'' => {
                    is_quoted = !is_quoted;
                    word.get_or_insert_with(String::new);
                }
                ' ' if !is_quoted => words.extend(word.take()),
                '|' | '>' if !is_quoted => break,
                c => word.get_or_insert_with(String::new).push(c),
            }
        }
        words.extend(word);
        assert!(!is_quoted, "{line}");
        words
    }

    /// Lines of a help text that begin or go on with this program.
    fn examples(command: &Command) -> Vec<String> {
        let text = command.get_after_help().unwrap_or_default().to_string();
        assert!(text.starts_with("Examples:\n"), "{}", command.get_name());
        let lines = text.lines().filter_map(|line| {
            let stages = line.trim_start().split(" | ");
            let own = stages.skip_while(|stage| !stage.starts_with("peercam "));
            let own = own.collect::<Vec<_>>().join(" | ");
            (!own.is_empty()).then_some(own)
        });
        lines.collect()
    }

    #[test]
    fn every_subcommand_is_in_one_group() {
        let command = built();
        let visible = command.get_subcommands().map(Command::get_name);
        let visible = visible.filter(|name| *name != "help");
        let visible = visible.collect::<BTreeSet<_>>();
        let grouped = GROUPS.iter().flat_map(|(_, names)| *names).copied();
        let mut seen = BTreeSet::new();
        for name in grouped {
            assert!(seen.insert(name), "{name} is in two groups");
        }
        let missing = visible.difference(&seen).collect::<Vec<_>>();
        assert!(missing.is_empty(), "{missing:?} are in no group");
        for name in WITHOUT_CONFIG {
            assert!(seen.contains(name), "{name} is no subcommand");
        }
        #[cfg(all(feature = "client", feature = "completions", feature = "record"))]
        assert_eq!(seen, visible, "a group has what is no subcommand");
    }

    #[test]
    fn every_subcommand_has_two_examples_that_it_takes() {
        let command = built();
        let leaves = leaves(&command, "peercam");
        assert!(leaves.len() >= 6);
        for (path, subcommand) in leaves {
            let examples = examples(&subcommand);
            assert!(examples.len() >= 2, "{path} has fewer than two examples");
            let longest = examples.iter().map(|line| line.chars().count()).max();
            assert!(
                longest <= Some(76),
                "an example of {path} is broken into lines"
            );
            let of_its_own = examples.iter().filter(|line| {
                let words = words(line);
                path.split(' ')
                    .all(|part| words.iter().any(|word| word == part))
            });
            assert!(of_its_own.count() >= 1, "no example of {path} is of {path}");
            for line in examples {
                let parsed = Cli::try_parse_from(words(&line));
                assert!(parsed.is_ok(), "{path}: {line}: {}", parsed.unwrap_err());
            }
        }
    }

    #[test]
    fn a_terminal_of_80_columns_has_room_for_it() {
        let mut command = Cli::command().term_width(80);
        let all = command.render_help().to_string();
        for (heading, _) in GROUPS {
            let has_it = all.contains(&format!("\n{heading}:\n"));
            assert!(has_it || heading == "Viewer" || heading == "Shell", "{all}");
        }
        command.build();
        let texts = leaves(&command, "peercam")
            .into_iter()
            .flat_map(|(_, mut leaf)| [leaf.render_help(), leaf.render_long_help()]);
        let texts = texts.map(|text| text.to_string()).chain([all]);
        for text in texts {
            let long = |line: &&str| line.chars().count() > 80;
            let long = text.lines().filter(long).collect::<Vec<_>>();
            assert!(long.is_empty(), "{long:#?}");
        }
    }

    #[test]
    fn the_configuration_is_an_option_where_it_is_read() {
        let mut command = built();
        let mut help = |name: &str| {
            let subcommand = command.find_subcommand_mut(name);
            subcommand.map(|subcommand| subcommand.render_long_help().to_string())
        };
        for name in ["run", "pair", "revoke"] {
            let help = help(name).expect("in every build");
            assert!(help.contains("-c, --config <FILE>"), "{help}");
        }
        for help in WITHOUT_CONFIG.into_iter().filter_map(&mut help) {
            assert!(!help.contains("--config"), "{help}");
        }
        let line = ["peercam", "probe", "camera.mp4", "--config", "a"];
        let taken = Cli::try_parse_from(line).expect("it is taken everywhere");
        assert_eq!(taken.options.config, Some("a".into()));
    }

    #[test]
    fn a_usage_line_says_what_may_be_left_out() {
        let mut command = built();
        for (name, usage) in [
            ("check", "peercam check [OPTIONS] <FILE>"),
            (
                "pair",
                "peercam pair [OPTIONS] <NAME>\n       peercam pair --list",
            ),
            ("revoke", "peercam revoke [OPTIONS] <NAME|--id <ID>|--all>"),
            ("mint-key", "peercam mint-key [OPTIONS] <NAME>"),
            ("probe", "peercam probe [OPTIONS] <SOURCE>"),
            ("command", "peercam command [OPTIONS] [URI] <COMMAND>"),
            ("download", "peercam download [OPTIONS] [URI] <NAME>"),
            ("talk", "peercam talk [OPTIONS] [URI] <FILE>"),
            ("pull", "peercam pull [OPTIONS] [URI]"),
            ("proxy", "peercam proxy [OPTIONS] [URI]"),
        ] {
            if let Some(subcommand) = command.find_subcommand_mut(name) {
                let found = subcommand.render_usage().to_string();
                assert_eq!(found, format!("Usage: {usage}"), "{name}");
            }
        }
    }
}
