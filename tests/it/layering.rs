//! The house rules that no compiler checks: imports go down, pure floors stay pure.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The floor of every top-level module. An import may go to a lower floor, or stay in its module;
/// on one floor, only where a row of `SAME_FLOOR` says so.
const FLOORS: [(&str, u8); 20] = [
    ("media", 0),
    ("error", 0),
    ("clock", 0),
    ("proto", 1),
    ("hal", 2),
    ("places", 2),
    ("live", 3),
    ("record", 3),
    ("playback", 3),
    ("talk", 3),
    ("device", 3),
    ("transport", 4),
    ("access", 4),
    ("http", 5),
    ("client", 5),
    ("config", 6),
    ("budget", 6),
    ("cli", 6),
    ("daemon", 6),
    ("main", 6),
];

/// From, to.
const SAME_FLOOR: [(&str, &str); 13] = [
    ("clock", "media"),
    ("record", "live"),
    ("device", "live"),
    ("device", "playback"),
    ("device", "talk"),
    ("budget", "config"),
    ("cli", "config"),
    ("daemon", "budget"),
    ("daemon", "config"),
    ("main", "budget"),
    ("main", "cli"),
    ("main", "config"),
    ("main", "daemon"),
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
    walk(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    assert!(found.len() > 40, "the walk found the sources");
    found
}

fn module_of(path: &Path) -> String {
    let relative = path
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let first = relative
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
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
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
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
fn the_walker_sees_imports_in_every_form() {
    let code = "use crate::{\n error::{Error, Kind},\n media::Frame,\n};\nuse crate::live::Hub;\nlet x = crate::clock::now();";
    assert_eq!(imports(code), ["error", "media", "live", "clock"]);
}

#[test]
fn the_wire_formats_are_pure() {
    for (path, text) in sources() {
        if matches!(module_of(&path).as_str(), "proto" | "media" | "error") {
            let code = code(&text);
            for word in IMPURE {
                assert!(!code.contains(word), "{} mentions {word}", path.display());
            }
        }
    }
}

#[test]
fn hardware_knows_nothing_but_its_traits() {
    for (path, text) in sources() {
        if path.to_string_lossy().contains("/hal/") {
            let code = code(&text);
            for target in imports(&code) {
                assert!(
                    ["hal", "media", "clock", "proto"].contains(&target.as_str()),
                    "{}",
                    path.display()
                );
            }
        }
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
        let is_there = path.to_string_lossy().contains("/transport/p2p/");
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

#[test]
fn tasks_are_spawned_where_they_are_owned() {
    // Where, and who owns what is spawned there.
    const OWNERS: [(&str, &str); 9] = [
        ("client/mod.rs", "AbortOnDropHandle of who asked for it"),
        ("client/p2p/resume.rs", "AbortOnDropHandle in the answer"),
        ("client/p2p/session.rs", "AbortOnDropHandle in the session"),
        ("device/ptz.rs", "AbortOnDropHandle of the turning camera"),
        ("hal/rtsp/mod.rs", "AbortOnDropHandle in the camera"),
        ("hal/socket/mod.rs", "AbortOnDropHandle in the socket"),
        ("live/hub.rs", "AbortOnDropHandle in the stream's entry"),
        ("playback/mod.rs", "AbortOnDropHandle in the playback"),
        ("main.rs", "the process: the task is the second signal"),
    ];
    for (path, text) in sources() {
        if code(&text).contains("tokio::spawn(") {
            let place = path.to_string_lossy();
            assert!(
                OWNERS.iter().any(|(owner, _)| place.ends_with(owner)),
                "{place} spawns a task"
            );
        }
    }
}
