//! The house rules that no compiler checks: imports go down, pure floors stay pure.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The floor of every module of the daemon. An import may go to a lower floor, or stay in its
/// module; on one floor, only where a row of `SAME_FLOOR` says so. Below them lie the crates of the
/// workspace, whose order the compiler holds.
const FLOORS: [(&str, u8); 20] = [
    ("channels", 0),
    ("events", 0),
    ("hal_failure", 0),
    ("log", 0),
    ("reach", 0),
    ("document", 0),
    ("access", 1),
    ("live", 2),
    ("record", 2),
    ("playback", 2),
    ("talk", 2),
    ("device", 2),
    ("http", 3),
    ("config", 4),
    ("budget", 4),
    ("cli", 4),
    ("control", 4),
    ("daemon", 4),
    ("main", 4),
    ("lib", 5),
];

/// From, to.
const SAME_FLOOR: [(&str, &str); 17] = [
    ("record", "device"),
    ("record", "live"),
    ("device", "live"),
    ("device", "playback"),
    ("device", "talk"),
    ("budget", "config"),
    ("cli", "config"),
    ("cli", "control"),
    ("control", "budget"),
    ("control", "config"),
    ("daemon", "budget"),
    ("daemon", "config"),
    ("daemon", "control"),
    ("main", "budget"),
    ("main", "cli"),
    ("main", "config"),
    ("main", "daemon"),
];

/// Which of the workspace's crates each of them may stand on.
const CRATES: [(&str, &[&str]); 5] = [
    ("proto", &[]),
    ("task", &[]),
    ("hal", &["proto", "task"]),
    ("net", &["proto", "task"]),
    ("client", &["net", "proto", "task"]),
];

/// What the pure floor must not know.
const IMPURE: [&str; 7] = [
    "tokio",
    "hyper",
    "std::fs",
    "std::net",
    "std::thread",
    "Instant::now",
    "SystemTime",
];

fn sources() -> BTreeMap<PathBuf, String> {
    fn walk(directory: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path, text);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&root().join("src"), &mut found);
    for (name, _) in CRATES {
        walk(&root().join("crates").join(name).join("src"), &mut found);
    }
    assert!(found.len() > 250, "the walk found the sources");
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The room that a source belongs to: a crate of the workspace, or a module of the daemon.
enum Room {
    Crate(String),
    Module(String),
}

fn room_of(path: &Path) -> Room {
    let relative = path.strip_prefix(root()).unwrap();
    let mut parts = relative.iter().map(|part| part.to_string_lossy());
    let (first, second) = (parts.next().unwrap(), parts.next().unwrap());
    match &*first {
        "crates" => Room::Crate(second.into_owned()),
        _ => Room::Module(second.trim_end_matches(".rs").to_owned()),
    }
}

/// Code without its tests and comments.
fn code(text: &str) -> String {
    let without_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let lines = without_tests
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every top-level module that `code` names, as `crate::x` or inside `use crate::{…}`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for prefix in ["crate::", "peercam::"] {
        for (at, _) in code.match_indices(prefix) {
            let rest = &code[at + prefix.len()..];
            match rest.strip_prefix('{') {
                None => found.push(word(rest)),
                Some(group) => found.extend(first_words_of_group(group)),
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn first_words_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut words, mut at_start) = (0, Vec::new(), true);
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if at_start && !c.is_whitespace() => {
                words.push(word(&group[index..]));
                at_start = false;
            }
            _ => {}
        }
    }
    words
}

#[test]
fn imports_go_down() {
    let floor = |module: &str| {
        FLOORS
            .iter()
            .find(|(name, _)| *name == module)
            .map(|(_, floor)| *floor)
    };
    let mut checked = 0;
    for (path, text) in sources() {
        let Room::Module(module) = room_of(&path) else {
            continue;
        };
        let from =
            floor(&module).unwrap_or_else(|| panic!("{module} has no floor: add it to FLOORS"));
        for target in imports(&code(&text)) {
            let to =
                floor(&target).unwrap_or_else(|| panic!("{}: crate::{target}?", path.display()));
            let is_listed = SAME_FLOOR.contains(&(module.as_str(), target.as_str()));
            assert!(
                to < from || module == target || is_listed,
                "{}: {module} (floor {from}) imports {target} (floor {to})",
                path.display()
            );
            checked += 1;
        }
    }
    assert!(checked > 80, "only {checked} imports were seen");
}

#[test]
fn crates_stand_on_those_below_them() {
    for (name, below) in CRATES {
        let path = root().join("crates").join(name).join("Cargo.toml");
        let manifest: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap().keys();
        let own: Vec<_> = dependencies
            .filter_map(|dependency| dependency.strip_prefix("peercam-"))
            .collect();
        assert_eq!(own, below, "{name}");
    }
    let rooms = fs::read_dir(root().join("crates")).unwrap().count();
    assert_eq!(rooms, CRATES.len(), "a crate has no row in CRATES");
}

#[test]
fn the_walker_sees_imports_in_every_form() {
    let code = "use crate::{\n error::{Error, Kind},\n media::Frame,\n};\nuse crate::live::Hub;\nlet x = crate::clock::now();";
    assert_eq!(imports(code), ["error", "media", "live", "clock"]);
}

#[test]
fn the_wire_formats_are_pure() {
    for (path, text) in sources() {
        if matches!(room_of(&path), Room::Crate(name) if name == "proto") {
            let code = code(&text);
            for word in IMPURE {
                assert!(!code.contains(word), "{} mentions {word}", path.display());
            }
        }
    }
}

/// Words that the exchange over any stream must not know: its caller dials, waits and keeps files.
const DIALLED: [&str; 7] = [
    "tokio::net",
    "std::net",
    "std::fs",
    "Instant",
    "SystemTime",
    "tokio::time",
    "boundary",
];

#[test]
fn the_exchange_stands_on_a_stream_only() {
    let mut seen = 0;
    for (path, text) in sources() {
        let place = path.to_string_lossy();
        let is_upload = place.ends_with("/client/src/upload.rs");
        if !is_upload && !place.contains("/client/src/exchange/") {
            continue;
        }
        let code = code(&text);
        for word in DIALLED {
            assert!(!code.contains(word), "{place} mentions {word}");
        }
        for module in imports(&code) {
            let is_of_it = ["exchange", "upload"].contains(&module.as_str());
            assert!(is_of_it, "{place} imports crate::{module}");
        }
        seen += 1;
    }
    assert!(seen > 3, "only {seen} files of it were seen");
}

/// Variants and structs whose text has the error in it that they also name as their source: who
/// prints the whole chain prints that twice.
fn told_twice(code: &str) -> Vec<&str> {
    let errors = code.split("#[error(").skip(1);
    let texts = errors.filter_map(|error| error.split_once(")]"));
    let twice = texts.filter(|(text, item)| {
        let fields = item.split_once("#[error(").map_or(*item, |(item, _)| item);
        let is_variant = |line: &&str| !line.trim_start().starts_with("///");
        let fields = fields.lines().filter(is_variant).take(6);
        let fields: String = fields.collect::<Vec<_>>().concat();
        let fields = fields.split("),").next().unwrap_or_default();
        let is_source = ["#[from]", "#[source]", "source:"];
        let is_source = is_source.iter().any(|word| fields.contains(word));
        is_source && text.contains('{')
    });
    twice.map(|(text, _)| text).collect()
}

#[test]
fn an_error_is_told_once() {
    for (path, text) in sources() {
        let twice = told_twice(&text);
        assert!(twice.is_empty(), "{}: {twice:?}", path.display());
    }
    for (code, count) in [
        ("#[error(\"x: {0}\")]\nX(#[from] Y),\n", 1),
        (
            "#[error(\"x: {error}\")]\nX {\n#[source]\nerror: Y,\n},\n",
            1,
        ),
        (
            "#[error(\"x: {0}\")]\nX(Y),\n#[error(transparent)]\nZ(#[from] Y),\n",
            0,
        ),
        ("#[error(\"x\")]\nX(#[from] Y),\n", 0),
    ] {
        assert_eq!(told_twice(code).len(), count, "{code}");
    }
}

#[test]
fn early_data_is_never_used() {
    for (path, text) in sources() {
        for word in ["into_0rtt", "is_0rtt", "keylog"] {
            assert!(!code(&text).contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn one_room_knows_iroh() {
    for (path, text) in sources() {
        let is_there = path.to_string_lossy().contains("/net/src/p2p/");
        assert!(
            is_there || !code(&text).contains("iroh::"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn files_stay_small() {
    let mut lengths: Vec<usize> = sources()
        .values()
        .map(|text| text.lines().count())
        .collect();
    lengths.sort_unstable();
    assert!(
        lengths[lengths.len() / 2] <= 200,
        "median {}",
        lengths[lengths.len() / 2]
    );
    assert!(
        *lengths.last().unwrap() <= 500,
        "longest {}",
        lengths.last().unwrap()
    );
}

/// Where tasks and threads are started otherwise than by `boundary`, and why.
const SPAWNED: &[(&str, &str)] = &[
    ("record/mod.rs", "channels, which contain what they run"),
    (
        "record/readers.rs",
        "threads, each of whose jobs is contained",
    ),
    ("main.rs", "the second signal: it ends the process"),
    (
        "device/calls.rs",
        "the call task and what it says contain what they run",
    ),
    ("hal/src/exec.rs", "a program, and the thread that feeds it"),
    (
        "http/p2p/mod.rs",
        "a request that contains its answer, to note whose it was",
    ),
];

#[test]
fn whatever_runs_is_contained() {
    let mut contained = 0;
    for (path, text) in sources() {
        let place = path.to_string_lossy();
        if place.contains("/boundary/") || place.ends_with("/tests.rs") {
            continue;
        }
        let code = code(&text);
        for word in [
            "tokio::spawn(",
            "spawn_blocking(",
            "thread::spawn(",
            ".spawn(",
        ] {
            for (at, _) in code.match_indices(word) {
                let rest = &code[at + word.len()..];
                if word == ".spawn(" && rest.trim_start().starts_with("contain(") {
                    contained += 1;
                    continue;
                }
                assert!(
                    SPAWNED.iter().any(|(there, _)| place.ends_with(there)),
                    "{place} starts something that nothing contains: {word}{}",
                    rest.lines().next().unwrap_or_default()
                );
            }
        }
        contained += code.matches("boundary::spawn(").count();
    }
    assert!(contained > 12, "only {contained} were seen");
}

/// They wait on condition variables, and what is behind their locks is whole at any time.
const CONDITIONS: [&str; 2] = ["hal/src/exec/line.rs", "record/readers.rs"];

#[test]
fn what_a_panic_leaves_behind_a_lock_is_decided_in_one_place() {
    for (path, text) in sources() {
        let place = path.to_string_lossy();
        if !place.contains("/boundary/") && !CONDITIONS.iter().any(|there| place.ends_with(there)) {
            let code = code(&text);
            for word in ["PoisonError", "is_poisoned", "std::sync::Mutex"] {
                assert!(!code.contains(word), "{place}: {word}");
            }
        }
    }
}

#[test]
fn what_ships_is_optimized_as_a_whole() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let exceptions = |profile: &str| manifest["profile"][profile]["package"].as_table().unwrap();
    assert!(!exceptions("release").is_empty());
    for profile in ["dist", "firmware"] {
        let (own, level) = (
            exceptions(profile),
            &manifest["profile"][profile]["opt-level"],
        );
        assert!(own.keys().eq(exceptions("release").keys()), "{profile}");
        assert!(
            own.values().all(|package| &package["opt-level"] == level),
            "{profile}"
        );
    }
}
