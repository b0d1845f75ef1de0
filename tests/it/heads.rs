//! Files whose heads say other things than ours do: of an older version, or of somebody who lies.

use std::{
    fs,
    path::{Path, PathBuf},
};

use peercam::record::{CardCheck, CardWriter, Catalog, CheckResult, Metrics, disk::SystemDisk};
use peercam_proto::{fmp4::Head, media::ChannelId};

use crate::{
    card::Random,
    power::{Camera, ENDLESS, Told, everything},
};

fn store(root: &Path) -> (CardWriter, Catalog) {
    let catalog = Catalog::new(root.to_owned());
    let disk = Box::new(SystemDisk::new(None));
    let metrics = Metrics::default();
    let mut store = CardWriter::new(disk, catalog.clone(), ENDLESS, Default::default(), metrics);
    store.look();
    assert!(!store.is_failed());
    (store, catalog)
}

/// A whole file of twenty seconds, and its bytes.
fn film(root: &Path) -> (PathBuf, Vec<u8>) {
    let (mut store, catalog) = store(root);
    let (mut camera, mut random) = (Camera::new(), Random(7));
    for _ in 0..20 {
        assert!(store.perform(&camera.next(&mut random, false)));
    }
    store.finish();
    let path = only(root, &catalog);
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

/// The only file that is listed, which must last for twenty seconds and be as it was written.
fn only(root: &Path, catalog: &Catalog) -> PathBuf {
    let listed = catalog.list(ChannelId(0), &everything());
    let [one] = &listed[..] else {
        panic!("{listed:?}")
    };
    assert_eq!(one.end_millis - one.start_millis, 20_000);
    let survey = CardCheck::new(root).unwrap();
    let mut found = Vec::new();
    survey.files(&mut |file| found.push(file.clone())).unwrap();
    let [file] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(survey.check(file).unwrap(), CheckResult::Whole);
    file.path.clone()
}

/// The file as it is when the power goes before it has its last name.
fn open(path: &Path, bytes: &[u8]) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let start = name.split('_').next().unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path.with_file_name(format!("{start}_0.open.mp4")), bytes).unwrap();
}

fn told(path: &Path) -> (Told, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let (head, fragments) = bytes.split_at(Head::parse(&bytes).unwrap().size);
    (Told::by(head), fragments.to_vec())
}

#[test]
fn a_film_says_where_its_fragments_lie() {
    let card = tempfile::tempdir().unwrap();
    let (path, _) = film(card.path());
    let (told, fragments) = told(&path);
    assert!(told.is_all());
    told.check(&fragments, 20_000, "a film");
}

#[test]
fn a_head_that_lies_plays_as_if_it_said_nothing() {
    let card = tempfile::tempdir().unwrap();
    let (path, bytes) = film(card.path());
    let size = Head::parse(&bytes).unwrap().size;
    let at = |kind: &[u8; 4]| bytes.windows(4).position(|four| four == kind).unwrap();
    let mut lies = bytes.clone();
    lies[at(b"mvhd") + 20..][..4].fill(0xff);
    lies[at(b"mehd") + 8..][..4].fill(0xff);
    lies[at(b"sidx") + 4..size].fill(0xff);
    fs::write(&path, &lies).unwrap();
    let (_, catalog) = store(card.path());
    only(card.path(), &catalog);
    // When it is mended, it says again what is true.
    open(&path, &lies);
    let (_, catalog) = store(card.path());
    let (told, fragments) = told(&only(card.path(), &catalog));
    told.check(&fragments, 20_000, "mended");
    assert!(told.is_all());
    assert_eq!(fragments, bytes[size..]);
}

#[test]
fn files_of_an_older_version_are_listed_and_mended() {
    let card = tempfile::tempdir().unwrap();
    let (path, bytes) = film(card.path());
    let size = Head::parse(&bytes).unwrap().size;
    let at = |kind: &[u8; 4]| bytes.windows(4).position(|four| four == kind).unwrap();
    // It had no room, and said that it has no length.
    let described = at(b"skip") - 4;
    let mut old = [&bytes[..described], &bytes[size..]].concat();
    old[at(b"mvhd") + 20..][..4].fill(0);
    old[at(b"mehd") + 8..][..4].fill(0);
    let name = path.file_name().unwrap().to_str().unwrap();
    let shorter = name.replace(&bytes.len().to_string(), &old.len().to_string());
    fs::remove_file(&path).unwrap();
    let path = path.with_file_name(shorter);
    fs::write(&path, &old).unwrap();
    let (_, catalog) = store(card.path());
    assert_eq!(only(card.path(), &catalog), path);
    assert_eq!(
        fs::read(&path).unwrap(),
        old,
        "what is whole stays as it is"
    );
    open(&path, &old);
    let (_, catalog) = store(card.path());
    let (told, fragments) = told(&only(card.path(), &catalog));
    told.check(&fragments, 20_000, "mended");
    assert!(
        told.movie() == 20_000 && !told.is_all(),
        "no room for an index"
    );
}
