//! A card that somebody else prepared: nothing of it leads out of it, and nothing on it decides
//! about what is ours.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

use peercam::record::{CardWriter, Catalog, Limits, Metrics, disk::SystemDisk};
use peercam_proto::media::ChannelId;
use serde_json::Value;

use crate::support::{Daemon, request, sim_config};

/// 2026-01-01
const START: i64 = 1_767_225_600_000;

struct Foreign(tempfile::TempDir);

impl Foreign {
    fn new() -> Self {
        let foreign = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(foreign.day()).unwrap();
        foreign
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("card")
    }

    fn day(&self) -> PathBuf {
        self.root().join("ch0/2026-01-01")
    }

    /// A recording of so many bytes whose name says that it has as many as `says`.
    fn file(&self, start: i64, bytes: usize, says: u64) -> PathBuf {
        let path = self.day().join(format!("{start}_60000_0_{says}.mp4"));
        fs::write(&path, vec![0; bytes]).unwrap();
        path
    }

    fn store(&self, limits: Limits) -> (CardWriter, Catalog) {
        let catalog = Catalog::new(self.root());
        let disk = Box::new(SystemDisk::new(None));
        let mut store = CardWriter::new(
            disk,
            catalog.clone(),
            limits,
            Default::default(),
            Metrics::default(),
        );
        store.look();
        assert!(!store.is_failed());
        (store, catalog)
    }

    fn daemon(&self, mode: &str) -> Daemon {
        let root = self.root();
        let record = format!("[record]\npath = {root:?}\nmode = {mode:?}\nsegment = \"5s\"\n");
        Daemon::start(&format!("{}{record}", sim_config(", gop = 25")))
    }
}

const LIMITS: Limits = Limits {
    max_size: 1 << 20,
    max_age: None,
    min_free: 0,
};

#[test]
fn a_name_that_lies_costs_no_other_file_anything() {
    let card = Foreign::new();
    let ours: Vec<_> = (0..20)
        .map(|minute| card.file(START + minute * 60_000, 1000, 1000))
        .collect();
    // One claims a terabyte, one is longer and one shorter than it says, one lasts for weeks; one
    // really has a size, and no content that would take room.
    card.file(START + 1, 0, 1 << 40);
    card.file(START + 2, 2000, 1000);
    card.file(START + 3, 500, 1000);
    fs::write(
        card.day().join(format!("{}_4000000000_0_1.mp4", START + 4)),
        "x",
    )
    .unwrap();
    let hole = card
        .day()
        .join(format!("{}_60000_0_{}.mp4", START + 5, 1_u64 << 32));
    let file = fs::File::create(&hole).unwrap();
    file.set_len(1 << 32).unwrap();
    assert!(
        file.metadata().unwrap().blocks() < 1000,
        "a hole takes no room"
    );
    let (_, catalog) = card.store(LIMITS);
    assert_eq!(catalog.count(), ours.len() + 1);
    let bytes = catalog.bytes();
    assert!((20_000..22_000).contains(&bytes), "what is taken: {bytes}");
}

#[test]
fn what_has_no_date_or_a_wrong_one_keeps_nothing_else_from_ageing() {
    let card = Foreign::new();
    let old = card.file(START, 1000, 1000);
    let new = card.file(START + 7_200_000, 1000, 1000);
    let day = card.root().join("ch0/1970-01-01");
    fs::create_dir_all(&day).unwrap();
    let undated = day.join("1_1000_0u_4.mp4");
    fs::write(&undated, "text").unwrap();
    let limits = Limits {
        max_age: Some(std::time::Duration::from_secs(3600)),
        ..LIMITS
    };
    let (mut store, _) = card.store(limits);
    store.set_date(Some(START + 7_200_000));
    store.forget_old();
    assert!(!old.exists() && new.exists() && undated.exists());
}

#[test]
fn a_name_of_the_far_future_does_not_take_ours_there() {
    let card = Foreign::new();
    let day = card.root().join("ch0/2099-12-31");
    fs::create_dir_all(&day).unwrap();
    fs::write(day.join("4102444000000_7200000_0_4.mp4"), "text").unwrap();
    let (_, catalog) = card.store(LIMITS);
    assert_eq!(catalog.count(), 1);
    // What is recorded behind it by an unset clock is believed for years.
    assert!(catalog.newest_end().unwrap() < 4_000_000_000_000);
}

#[test]
fn what_is_no_plain_file_is_nothing() {
    let card = Foreign::new();
    let secret = card.0.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let name = |start: i64| card.day().join(format!("{start}_1000_0_6.mp4"));
    symlink(&secret, name(START)).unwrap();
    fs::hard_link(&secret, name(START + 1)).unwrap();
    symlink(&secret, card.day().join(format!("{START}_0.open.jpg"))).unwrap();
    symlink(
        &secret,
        card.day().join(format!("{}_0.open.mp4", START + 2)),
    )
    .unwrap();
    let elsewhere = card.0.path().join("elsewhere/2026-01-01");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(elsewhere.join(format!("{START}_1000_0_6.mp4")), "secret").unwrap();
    symlink(elsewhere.parent().unwrap(), card.root().join("ch1")).unwrap();
    fs::create_dir(card.root().join("ch2")).unwrap();
    symlink(&elsewhere, card.root().join("ch2/2026-01-01")).unwrap();
    let (_, catalog) = card.store(LIMITS);
    assert_eq!(catalog.count(), 0);
    assert_eq!(catalog.list(ChannelId(1), &crate::power::everything()), []);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    let left = fs::read_dir(card.day()).unwrap().count();
    assert_eq!(left, 4, "foreign things are left alone");
}

/// The files under a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

async fn problem(daemon: &Daemon, is_there: impl Fn(&Value) -> bool) -> Value {
    loop {
        let health = request(daemon.address, "GET", "/healthz", "").await;
        let health: Value = serde_json::from_str(&health.body).unwrap();
        let recording = &health["recording"];
        if is_there(recording) {
            return recording.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_card_whose_directories_are_links_is_written_nowhere() {
    let card = Foreign::new();
    let flash = card.0.path().join("flash");
    fs::create_dir(&flash).unwrap();
    fs::remove_dir_all(card.root().join("ch0")).unwrap();
    symlink(&flash, card.root().join("ch0")).unwrap();
    let daemon = card.daemon("always");
    let told = problem(&daemon, |recording| {
        recording["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("link"))
    });
    assert!(told.await["problem"].as_str().unwrap().contains("ch0"));
    drop(daemon);
    assert_eq!(files(&flash), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn a_thousand_recordings_of_the_same_minutes_are_listed() {
    let card = Foreign::new();
    for number in 0..1000 {
        card.file(START + number, 1, 1);
    }
    let daemon = card.daemon("off");
    problem(&daemon, |recording| recording["files"] == 1000).await;
    for (command, key) in [
        (
            "get_record_index&start_time=1767225600&end_time=1767312000",
            "video_list",
        ),
        (
            "get_file_list&start_time=1767225600&end_time=1767312000",
            "file_list",
        ),
    ] {
        let target = format!("/command?action=inner_define&cmd={command}");
        let answer = request(daemon.address, "POST", &target, "").await;
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(!answer[key].as_array().unwrap().is_empty(), "{command}");
    }
    // None of them is a film; that is told, and nothing hangs.
    let target = "/ipc.flv?action=playback&start_time=1767225600&end_time=1767225700";
    let answer = request(daemon.address, "GET", target, "").await;
    assert_eq!(answer.status, 502, "{answer:?}");
}
