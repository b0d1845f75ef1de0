//! What documents say of the source is still there: files, and names in them.

use std::{fs, path::Path};

use peercam_proto::command::INNER;

const DOCUMENTS: [&str; 9] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/api.md",
    "docs/architecture.md",
    "docs/decisions.md",
    "docs/glossary.md",
    "docs/players.md",
    "docs/troubleshooting.md",
    "docs/zh/README.md",
];
/// A document whose tables of three columns are question, file and name.
const ARCHITECTURE: &str = "docs/architecture.md";
/// A document whose rows are: what another document says, `file::item` that does it, `file::test`.
const PROTOCOL: &str = "docs/protocol-table.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What stands between backticks on one line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn files_that_documents_name_exist() {
    let mut seen = 0;
    for document in DOCUMENTS {
        for line in read(document).lines() {
            let is_file = |word: &&str| {
                [
                    "src/",
                    "crates/",
                    "examples/",
                    "tests/",
                    "config/",
                    "docs/",
                    "include/",
                ]
                .iter()
                .any(|start| word.starts_with(start))
                    && !word.contains(' ')
            };
            for file in quoted(line).filter(is_file) {
                assert!(
                    root().join(file).exists(),
                    "{document} names {file}, which does not exist"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "only {seen} files were seen");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut seen = 0;
    for document in DOCUMENTS {
        let text = read(document);
        let directory = Path::new(document).parent().expect("a file is in one");
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'));
        for (link, _) in targets.filter(|(link, _)| !link.starts_with("http")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let path = match file {
                "" => root().join(document),
                _ => root().join(directory).join(file),
            };
            assert!(path.exists(), "{document} leads to {link}");
            seen += 1;
            if !heading.is_empty() {
                let text = fs::read_to_string(path).expect("a document");
                let is_there = text.lines().any(|line| anchor(line) == heading);
                assert!(is_there, "{document} has no heading for {link}");
            }
        }
    }
    assert!(seen > 40, "only {seen} links were seen");
}

/// A heading as a link names it: lower case, hyphens for blanks, without punctuation.
fn anchor(line: &str) -> String {
    let Some(heading) = line.strip_prefix('#') else {
        return String::new();
    };
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => Some(letter).filter(|letter| letter.is_alphanumeric()),
    });
    kept.collect()
}

#[test]
fn what_decides_is_where_the_architecture_says() {
    let mut seen = 0;
    for line in read(ARCHITECTURE).lines() {
        let words: Vec<_> = quoted(line).collect();
        let [file, name] = words[..] else { continue };
        if !line.starts_with('|') || !(file.starts_with("src/") || file.starts_with("crates/")) {
            continue;
        }
        let text = read(file);
        assert!(text.contains(name), "{file} has no {name:?} any more");
        seen += 1;
    }
    assert!(seen > 20, "only {seen} rows were seen");
}

/// Names such as `file::item` on one line.
fn names(line: &str) -> impl Iterator<Item = (&str, &str)> {
    quoted(line).filter_map(|name| name.split_once("::"))
}

/// Returns whether a name stands in a text as a word of its own.
fn has_word(text: &str, name: &str) -> bool {
    let is_part = |letter: Option<char>| letter.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        !is_part(before.chars().next_back()) && !is_part(after.chars().next())
    })
}

#[test]
fn what_the_documents_say_is_where_the_table_says_and_tested() {
    let table = read(PROTOCOL);
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("---"));
    let rows = rows.filter(|line| *line != "| document | where | test |");
    let mut seen = 0;
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let [_, place, tests] = cells[..] else {
            panic!("{row} has not three cells");
        };
        let is_there = !["not yet", "no part of"]
            .iter()
            .any(|word| place.contains(word));
        assert!(!is_there || tests.contains("::"), "no test: {row}");
        for (file, item) in names(place) {
            let text = read(file);
            for name in item.split("::") {
                assert!(has_word(&text, name), "{file} has no {name}: {row}");
            }
            seen += 1;
        }
        for (file, test) in names(tests) {
            let text = read(file);
            let is_test = ["fn ", "def "]
                .iter()
                .any(|word| text.contains(&format!("{word}{test}(")));
            assert!(is_test, "{file} has no test {test}: {row}");
        }
    }
    assert!(seen > 80, "only {seen} items were seen");
    for name in INNER.map(|inner| inner.name) {
        // Two that no document has.
        let is_ours = ["help", "call_answer"].contains(&name);
        assert!(
            is_ours || has_word(&table, name),
            "{PROTOCOL} has no {name}"
        );
    }
}
