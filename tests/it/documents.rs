//! What documents say of the source is still there: files, and names in them.

use std::{fs, path::Path};

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/decisions.md",
    "docs/glossary.md",
    "docs/troubleshooting.md",
];
/// A document whose tables of three columns are question, file and name.
const ARCHITECTURE: &str = "docs/architecture.md";

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
