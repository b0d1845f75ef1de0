//! Both ways of opening refuse what a card must not have: links, second names, pipes, other file
//! systems.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
};

use rustix::fs::mknodat;

use super::*;

/// A card, and a directory beside it that is none of the card's.
struct Card(tempfile::TempDir);

impl Card {
    fn new() -> Self {
        let both = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(both.path().join("card/ch0/day")).expect("a directory");
        fs::create_dir_all(both.path().join("flash/day")).expect("a directory");
        for name in ["flash/secret", "flash/day/secret", "card/ch0/day/plain"] {
            fs::write(both.path().join(name), "text").expect("a file");
        }
        Self(both)
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// The card, opened in both ways.
    fn ways(&self) -> [Directory; 2] {
        let open = || Directory::named(&self.at("card")).expect("a directory");
        [open(), open().part_by_part()]
    }
}

const WRITE: OFlags = OFlags::RDWR.union(OFlags::APPEND);

#[test]
fn what_is_a_file_of_the_card_is_opened() {
    let card = Card::new();
    for (number, root) in card.ways().into_iter().enumerate() {
        let plain = Path::new("ch0/day/plain");
        let (file, sizes) = root.open(plain, OFlags::RDONLY).expect("a file");
        assert_eq!(
            (file.metadata().expect("it is one").len(), sizes.bytes),
            (4, 4)
        );
        let day = format!("ch1/day{number}");
        root.make(Path::new(&day)).expect("a directory");
        let (draft, last) = (format!("{day}/draft"), format!("{day}/last"));
        let (draft, last) = (Path::new(&draft), Path::new(&last));
        drop(root.create(draft, WRITE).expect("a file"));
        assert!(root.create(draft, WRITE).is_err(), "it is there");
        root.rename(draft, last).expect("another name");
        let mode = |path: &Path| {
            fs::metadata(card.at("card").join(path))
                .expect("it is there")
                .mode()
        };
        assert_eq!(mode(last) & 0o7137, 0, "nobody else may read or write it");
        assert_eq!(mode(Path::new(&day)) & 0o7027, 0);
        root.remove(last).expect("it is removed");
        root.remove_directory(Path::new(&day)).expect("it is empty");
        assert!(root.open(plain, WRITE).is_ok() && root.free().is_ok() && root.sync().is_ok());
    }
}

#[test]
fn what_is_none_is_neither_read_nor_written_nor_waited_for() {
    let card = Card::new();
    let inside = |name: &str| card.at("card/ch0/day").join(name);
    symlink(card.at("flash/secret"), inside("link")).expect("a link");
    symlink("plain", inside("near")).expect("a link");
    symlink("/dev/zero", inside("zero")).expect("a link");
    fs::hard_link(card.at("flash/secret"), inside("hard")).expect("a second name");
    mknodat(
        rustix::fs::CWD,
        inside("pipe"),
        FileType::Fifo,
        Mode::from_raw_mode(0o666),
        0,
    )
    .expect("a pipe");
    let _socket = UnixListener::bind(inside("socket")).expect("a socket");
    fs::create_dir(inside("directory")).expect("a directory");
    symlink(card.at("flash"), card.at("card/ch1")).expect("a link");
    symlink(card.at("flash/day"), card.at("card/ch0/linked")).expect("a link");
    let names = [
        "ch0/day/link",
        "ch0/day/near",
        "ch0/day/zero",
        "ch0/day/hard",
        "ch0/day/pipe",
        "ch0/day/socket",
        "ch0/day/directory",
        "ch0/linked/secret",
        "ch1/secret",
        "ch1/day/secret",
        "../flash/secret",
        "ch0/../../flash/secret",
        "/etc/passwd",
    ];
    for root in card.ways() {
        for name in names.map(Path::new) {
            for flags in [OFlags::RDONLY, WRITE] {
                let refused = root.open(name, flags).expect_err("it is none");
                assert_eq!(
                    refused.kind(),
                    io::ErrorKind::InvalidData,
                    "{name:?}: {refused}"
                );
            }
        }
        for name in ["ch0/linked/new", "ch1/new", "ch1/day/new", "../flash/new"].map(Path::new) {
            root.create(name, WRITE).expect_err("it is elsewhere");
            root.make(name).expect_err("it is elsewhere");
            root.remove_directory(name).expect_err("it is elsewhere");
        }
        for name in ["ch0/linked/secret", "ch1/secret", "../flash/secret"].map(Path::new) {
            root.remove(name).expect_err("it is elsewhere");
            root.rename(name, &name.with_file_name("moved"))
                .expect_err("it is elsewhere");
        }
        let mut plain = Vec::new();
        let day = root.beneath(Path::new("ch0/day")).expect("a directory");
        day.visit(&mut |name, sizes| {
            plain.extend(sizes().is_ok().then(|| name.to_owned()));
            ControlFlow::Continue(())
        })
        .expect("it is read");
        assert_eq!(plain, ["plain"]);
    }
    // A link that is removed takes nothing with it.
    card.ways()[0]
        .remove(Path::new("ch0/day/link"))
        .expect("it is removed");
    assert_eq!(
        fs::read_dir(card.at("flash")).expect("it is there").count(),
        2
    );
    for name in ["flash/secret", "flash/day/secret"] {
        let left = fs::read_to_string(card.at(name)).expect("it is there");
        assert_eq!(left, "text", "{name}");
    }
    let mode = fs::metadata(card.at("flash"))
        .expect("it is there")
        .permissions()
        .mode();
    assert_ne!(mode & 0o700, 0);
}

#[test]
fn other_file_systems_are_not_entered() {
    let root = Directory::named(Path::new("/")).expect("a directory");
    for root in [
        Directory::named(Path::new("/")).expect("a directory"),
        root.part_by_part(),
    ] {
        let other = root.open(Path::new("proc/version"), OFlags::RDONLY);
        assert_eq!(
            other.expect_err("it is mounted").kind(),
            io::ErrorKind::InvalidData
        );
        root.beneath(Path::new("proc")).expect_err("it is mounted");
        let proc = root.child(OsStr::new("proc")).expect("it may be mounted");
        assert!(proc.is_mount_point().expect("it is looked at"));
    }
}
