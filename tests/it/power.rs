//! Cards that fail: what was written for good is there afterwards, and plays.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use peercam::record::{
    CardWriter, Catalog, Date, Fragment, FragmentWrite, Limits, Metrics, WriteJob, name::FileName,
};
use peercam_hal::{Page, Query};
use peercam_proto::{
    fmp4::{BOX_HEAD, BoxHead, Fragment as Index, Head, SEAL, read_seal},
    media::{ChannelId, Frame, MediaTime, TrackKind, Tracks, VideoCodec, VideoTrack},
};

use crate::{
    card::{Card, Failing, Random},
    hostile::scaled,
};

const ROOT: &str = "/card";

/// Parameter sets of a small picture.
const AVCC: &[u8] = &[
    1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 8, 0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 1, 0, 4,
    0x68, 0xce, 0x3c, 0x80,
];

fn store(card: &Card, limits: Limits) -> (CardWriter, Catalog) {
    let catalog = Catalog::new(PathBuf::from(ROOT));
    let disk = Box::new(card.clone());
    let metrics = Metrics::default();
    let store = CardWriter::new(disk, catalog.clone(), limits, Default::default(), metrics);
    (store, catalog)
}

pub(crate) const ENDLESS: Limits = Limits {
    max_size: 1 << 40,
    max_age: None,
    min_free: 0,
};

/// Makes fragments, each with a number in it by which it is known again.
pub(crate) struct Camera {
    tracks: Arc<Tracks>,
    made: u32,
}

impl Camera {
    pub(crate) fn new() -> Self {
        let video = VideoTrack {
            codec: VideoCodec::H264,
            config: Bytes::from_static(AVCC),
            width: 640,
            height: 360,
            frame_rate: 25.0,
        };
        let tracks = Tracks {
            video: Some(video),
            audio: None,
        };
        Self {
            tracks: Arc::new(tracks),
            made: 0,
        }
    }

    pub(crate) fn next(&mut self, random: &mut Random, begins: bool) -> WriteJob {
        self.made += 1;
        let start = i64::from(self.made) * 1_000_000;
        let frames = (0..1 + random.below(4) as i64).map(|index| {
            let mut data = self.made.to_be_bytes().to_vec();
            data.resize(8 + random.below(2000) as usize, index as u8);
            Frame {
                track: TrackKind::Video,
                key: index == 0,
                time: MediaTime::from_micros(start + index * 40_000),
                composition_micros: 0,
                data: data.into(),
            }
        });
        WriteJob::Fragment {
            channel: ChannelId(0),
            write: FragmentWrite {
                fragment: Fragment {
                    tracks: Arc::clone(&self.tracks),
                    frames: frames.collect(),
                    end: Some(MediaTime::from_micros(start + 1_000_000)),
                    is_key: true,
                    after_gap: false,
                },
                kind: 0,
                begins,
                date: Date {
                    offset_millis: 1_700_000_000_000,
                    is_known: true,
                },
            },
        }
    }
}

/// What a head says of its whole file.
pub(crate) struct Told {
    /// How long it is, in milliseconds; 0: nothing.
    movie: u32,
    fragments: Option<u32>,
    /// Bytes and 90,000ths of a second.
    index: Option<Vec<(u32, u32)>>,
}

impl Told {
    /// Reads it as players do: nothing of ours is asked.
    pub(crate) fn by(head: &[u8]) -> Self {
        let number = |at: usize| u32::from_be_bytes(*head[at..].first_chunk().unwrap());
        let find = |kind: &[u8; 4]| head.windows(4).position(|four| four == kind);
        // In a box of another kind it is not there.
        let mut at = 0;
        while head.get(at + 4..at + 8).is_some_and(|kind| kind != b"sidx") {
            let size = number(at) as usize;
            assert!(size >= 8, "a box of {size} bytes at {at}");
            at += size;
        }
        let index = (at + 4 < head.len()).then(|| {
            let at = at + 4;
            let references = (at + 28..).step_by(12).take(number(at + 24) as usize);
            references.map(|at| (number(at), number(at + 4))).collect()
        });
        Self {
            movie: number(find(b"mvhd").expect("a mvhd") + 20),
            fragments: find(b"mehd").map(|at| number(at + 8)),
            index,
        }
    }

    pub(crate) fn movie(&self) -> u32 {
        self.movie
    }

    pub(crate) fn is_all(&self) -> bool {
        self.movie > 0 && self.fragments.is_some() && self.index.is_some()
    }

    /// Makes sure that what is said is true of a file that lasts for so long.
    pub(crate) fn check(&self, fragments: &[u8], millis: u32, what: &str) {
        assert!([0, millis].contains(&self.movie), "{what}");
        assert!(self.fragments.is_none_or(|all| all == millis), "{what}");
        let Some(index) = &self.index else { return };
        let (mut at, mut ticks) = (0, 0);
        for (bytes, duration) in index {
            assert_eq!(fragments.get(at + 4..at + 8), Some(&b"moof"[..]), "{what}");
            at += *bytes as usize;
            ticks += duration;
        }
        assert_eq!((at, ticks), (fragments.len(), millis * 90), "{what}");
    }
}

/// Of a file as the power cut left it nothing is said that is not true: a laptop may play it before
/// a recorder mends it.
fn check_unmended(path: &Path, bytes: &[u8]) {
    let Ok(head) = Head::parse(bytes) else { return };
    let (own, fragments) = bytes.split_at(head.size);
    let told = Told::by(own);
    if told.fragments.is_some() || told.index.is_some() {
        told.check(fragments, told.movie, &path.display().to_string());
    }
}

/// The numbers of the fragments in a file, all of which must be whole.
fn fragments_in(path: &Path, bytes: &[u8]) -> Vec<u32> {
    let head = Head::parse(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut offset, mut found) = (head.size, Vec::new());
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        let box_at =
            |at: usize| BoxHead::parse(*rest[at..].first_chunk::<BOX_HEAD>().unwrap()).unwrap();
        let (index, data) = (box_at(0), box_at(box_at(0).size as usize));
        assert_eq!(
            (index.kind, data.kind),
            (*b"moof", *b"mdat"),
            "{}",
            path.display()
        );
        let size = (index.size + data.size) as usize;
        let read = Index::parse(&rest[..index.size as usize], &head.tracks, size).unwrap();
        let seal = rest[size..].first_chunk::<SEAL>().expect("a seal");
        assert_eq!(
            read_seal(seal),
            Some(crc(&rest[..size])),
            "{}",
            path.display()
        );
        let first = &rest[read.samples[0].offset..];
        found.push(u32::from_be_bytes(*first.first_chunk().unwrap()));
        offset += size + SEAL;
    }
    found
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |sum: u32| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
    let byte = |sum: u32, byte: &u8| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum));
    !bytes.iter().fold(!0, byte)
}

pub(crate) fn everything() -> Query {
    Query::new(0..i64::MAX, None, Page::Oldest(usize::MAX))
}

/// Looks at the card as it is after a cut, and finds every fragment that is listed, in files that
/// can be sought in.
fn listed(card: &Card, what: &str) -> BTreeSet<u32> {
    listed_as(card, what, true)
}

/// The same of a card on which some file may have no index.
fn listed_as(card: &Card, what: &str, is_ideal: bool) -> BTreeSet<u32> {
    let (mut store, catalog) = store(card, ENDLESS);
    store.look();
    assert!(!store.is_failed(), "{what}");
    let files = card.files();
    let mut found = BTreeSet::new();
    for recording in catalog.list(ChannelId(0), &everything()) {
        let key = (ChannelId(0), recording.start_millis, recording.content);
        let entry = catalog.entry(key).expect("it is listed");
        let path = catalog.path(ChannelId(0), &entry);
        let bytes = files
            .get(&path)
            .unwrap_or_else(|| panic!("{what}: {} is listed", path.display()));
        assert_eq!(
            bytes.len() as u64,
            recording.size,
            "{what}: {}",
            path.display()
        );
        let numbers = fragments_in(&path, bytes);
        let seconds = (recording.end_millis - recording.start_millis) / 1000;
        let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
        assert_eq!(
            seconds,
            i64::from(last - first + 1),
            "{what}: {}",
            path.display()
        );
        let (own, fragments) = bytes.split_at(Head::parse(bytes).expect("a head").size);
        let told = Told::by(own);
        let millis = recording.end_millis - recording.start_millis;
        told.check(fragments, millis as u32, what);
        assert!(told.is_all() || !is_ideal, "{what}: {}", path.display());
        found.extend(numbers);
    }
    // Whatever is not listed is nothing that was being written.
    for path in files.keys() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = FileName::parse(name).expect("a name of ours");
        let is_twin = || {
            let key = (ChannelId(0), name.start_millis, name.content);
            catalog.entry(key).is_some()
        };
        assert!(
            name.whole.is_some() || is_twin(),
            "{what}: {}",
            path.display()
        );
    }
    found
}

#[test]
fn after_a_power_cut_all_that_was_written_for_good_is_there() {
    for seed in 0..scaled(20_000) as u64 {
        let mut random = Random(seed);
        let card = Card::new();
        let (mut store, _) = store(&card, ENDLESS);
        store.look();
        let mut camera = Camera::new();
        card.fail(Some(Failing {
            from: card.calls() + random.below(60) as usize,
            calls: usize::MAX,
            kind: io::ErrorKind::Other,
        }));
        let mut written = BTreeSet::new();
        while !store.is_failed() {
            let begins = random.below(4) == 0;
            let job = camera.next(&mut random, begins);
            if store.perform(&job) {
                written.insert(camera.made);
            } else if random.below(3) == 0 {
                store.finish();
            }
        }
        let mut left = card.cut_power(&mut random);
        for (path, bytes) in left.files() {
            check_unmended(&path, &bytes);
        }
        // It may go again while the card is being mended.
        for _ in 0..random.below(3) {
            let (mut mending, _) = self::store(&left, ENDLESS);
            left.fail(Some(Failing {
                from: random.below(20) as usize,
                calls: usize::MAX,
                kind: io::ErrorKind::Other,
            }));
            mending.look();
            left = left.cut_power(&mut random);
        }
        let what = format!("seed {seed}");
        let found = listed(&left, &what);
        let lost: Vec<_> = written.difference(&found).collect();
        assert!(lost.is_empty(), "{what}: {lost:?} of {written:?}");
        let more: Vec<_> = found.difference(&written).collect();
        assert!(more.len() <= 1, "{what}: {more:?}");
        assert_eq!(found, listed(&left, &what), "{what}: it stays so");
    }
}

#[test]
fn a_call_that_fails_loses_what_it_was_about_and_nothing_else() {
    let kinds = [
        io::ErrorKind::Other,
        io::ErrorKind::StorageFull,
        io::ErrorKind::ReadOnlyFilesystem,
        io::ErrorKind::NotFound,
    ];
    for (kind, from) in kinds
        .into_iter()
        .flat_map(|kind| (0..120).map(move |from| (kind, from)))
    {
        let mut random = Random(from as u64);
        let card = Card::new();
        let (mut store, catalog) = store(&card, ENDLESS);
        card.fail(Some(Failing {
            from,
            calls: 1,
            kind,
        }));
        store.look();
        let mut camera = Camera::new();
        let mut written = BTreeSet::new();
        for number in 0..20 {
            if store.is_failed() {
                assert_ne!(*catalog.state().borrow(), peercam::record::State::Ready);
                store.look();
            }
            let job = camera.next(&mut random, number % 5 == 0);
            if store.perform(&job) {
                written.insert(camera.made);
            }
        }
        store.finish();
        card.fail(None);
        let what = format!("{kind:?} at call {from}");
        assert!(written.len() >= 18, "{what}: {written:?}");
        // One call may be that which fills in an index.
        let found = listed_as(&card, &what, false);
        // A card that says it is full loses its oldest to what is new.
        let kept = match kind {
            io::ErrorKind::StorageFull => written.split_off(found.first().expect("some")),
            _ => written,
        };
        assert!(found.is_superset(&kept), "{what}: {found:?} of {kept:?}");
    }
}

#[test]
fn a_full_card_makes_room_for_what_is_new() {
    let mut random = Random(1);
    let card = Card::new();
    card.set_room(300_000);
    let (mut store, catalog) = store(&card, ENDLESS);
    store.look();
    let mut camera = Camera::new();
    for number in 0..300 {
        let job = camera.next(&mut random, number % 3 == 0);
        assert!(
            store.perform(&job),
            "{number}: {:?}",
            *catalog.state().borrow()
        );
    }
    store.finish();
    let found = listed(&card, "a full card");
    assert!(found.contains(&300) && !found.contains(&1), "{found:?}");
    let numbers: Vec<_> = found.iter().copied().collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "the oldest went first: {numbers:?}"
    );
}

#[test]
fn no_more_is_kept_than_was_allowed() {
    let mut random = Random(1);
    let card = Card::new();
    let limits = Limits {
        max_size: 200_000,
        ..ENDLESS
    };
    let (mut store, catalog) = store(&card, limits);
    store.look();
    let mut camera = Camera::new();
    for _ in 0..500 {
        let job = camera.next(&mut random, false);
        assert!(store.perform(&job));
        assert!(catalog.bytes() <= 200_000);
        let on_card: usize = card.files().values().map(Vec::len).sum();
        assert_eq!(
            on_card as u64,
            catalog.bytes(),
            "what is known is what is there"
        );
    }
    assert!(
        catalog.bytes() > 100_000,
        "and no less than it has to be: {}",
        catalog.bytes()
    );
}

#[test]
fn what_others_left_on_a_card_is_in_nobodys_way() {
    let card = tempfile::tempdir().unwrap();
    let day = card.path().join("ch0/2023-11-14");
    std::fs::create_dir_all(&day).unwrap();
    let at = |name: &str| day.join(name);
    std::fs::write(card.path().join("ch3"), "a file").unwrap();
    std::fs::write(card.path().join("ch0/2023-11-15"), "a file").unwrap();
    std::fs::create_dir(at("1699999000000_0.open.mp4")).unwrap();
    std::fs::create_dir(at("1699999100000_1000_0_10.mp4")).unwrap();
    std::fs::write(at("1699999200000_0.open.mp4"), "garbage").unwrap();
    std::fs::write(at("99999999999999_1_0_9223372036854775807.mp4"), "a lie").unwrap();
    std::fs::write(at("1_1_0_1.mp4"), "of another day").unwrap();
    // A run of many samples that take no bytes.
    let tracks = Camera::new().tracks;
    let mut bomb = peercam_proto::fmp4::head(&tracks, 0).unwrap();
    let boxed = |kind: &[u8; 4], content: &[u8]| {
        let size = u32::try_from(8 + content.len()).unwrap().to_be_bytes();
        [&size[..], kind, content].concat()
    };
    let head = boxed(b"tfhd", &[0, 2, 0, 0, 0, 0, 0, 1]);
    let run = boxed(b"trun", &[0, 0, 0, 0, 0, 0xff, 0xff, 0xff]);
    let track = boxed(b"traf", &[head, run.repeat(20)].concat());
    let number = boxed(b"mfhd", &[0, 0, 0, 0, 0, 0, 0, 1]);
    bomb.extend(boxed(b"moof", &[number, track].concat()));
    bomb.extend(boxed(b"mdat", &[]));
    bomb.extend(peercam_proto::fmp4::seal(0));
    std::fs::write(at("1699999300000_0.open.mp4"), bomb).unwrap();

    let catalog = Catalog::new(card.path().to_owned());
    let limits = Limits {
        max_size: 200_000,
        ..ENDLESS
    };
    let disk = Box::new(peercam::record::disk::SystemDisk::new(None));
    let metrics = Metrics::default();
    let mut store = CardWriter::new(disk, catalog.clone(), limits, Default::default(), metrics);
    store.look();
    assert!(!store.is_failed());
    let (mut camera, mut random) = (Camera::new(), Random(1));
    for _ in 0..300 {
        assert!(store.perform(&camera.next(&mut random, false)));
        assert!(catalog.bytes() <= 200_000);
    }
}

#[test]
fn who_reads_what_is_deleted_is_told() {
    let mut random = Random(1);
    let card = Card::new();
    let limits = Limits {
        max_size: 200_000,
        ..ENDLESS
    };
    let (mut store, catalog) = store(&card, limits);
    store.look();
    let mut camera = Camera::new();
    assert!(store.perform(&camera.next(&mut random, true)));
    let first = catalog.list(ChannelId(0), &everything())[0];
    let key = (ChannelId(0), first.start_millis, first.content);
    let (_, lease) = catalog.lease(key).expect("it is there");
    let mut revoked_at = None;
    for number in 0..200 {
        assert_eq!(lease.is_revoked(), catalog.entry(key).is_none());
        if lease.is_revoked() {
            revoked_at.get_or_insert(number);
        }
        assert!(store.perform(&camera.next(&mut random, true)));
    }
    assert!(revoked_at.is_some());
}
