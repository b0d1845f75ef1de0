//! The index and the blanks of a head, filled in step by step as on a card.

use proptest::prelude::*;

use super::*;
use crate::{
    fmp4::{BoxHead, Head, head, tests::tracks},
    media::AudioCodec,
};

const SECOND: i64 = 1_000_000;

/// A fragment of one second.
fn shown(second: i64, is_key: bool) -> Option<PresentationInterval> {
    Some(PresentationInterval {
        start_micros: second * SECOND,
        end_micros: (second + 1) * SECOND,
        is_key,
    })
}

/// A head with those fillings that had reached the card.
fn filled(head: &[u8], fillings: &[Vec<Filling>]) -> Vec<u8> {
    let mut head = head.to_vec();
    for (offset, bytes) in fillings.iter().flatten() {
        let at = *offset as usize;
        head[at..at + bytes.len()].copy_from_slice(bytes);
    }
    head
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().expect("four bytes"))
}

/// Bytes and duration of what an index refers to.
type Reference = (u32, u32);

/// The durations in `mvhd` and `mehd`, and the references of the `sidx`.
fn told(text: &[u8]) -> (u32, Option<u32>, Option<Vec<Reference>>) {
    let find = |part: Range<usize>, kind: &[u8; 4]| {
        boxes(text, part)
            .find(|(found, _)| found == kind)
            .map(|(_, content)| content)
    };
    let moov = find(0..text.len(), b"moov").expect("a moov");
    let movie = find(moov.clone(), b"mvhd").expect("a mvhd").start;
    let extends = find(moov, b"mvex").expect("a mvex");
    let fragments = find(extends, b"mehd").map(|content| number(text, content.start + 4));
    let index = find(0..text.len(), b"sidx").map(|content| {
        assert_eq!(number(text, content.start + 4), 1, "of the picture");
        assert_eq!(number(text, content.start + 8), 90_000);
        let behind = content.end + number(text, content.start + 16) as usize;
        assert_eq!(behind, text.len(), "the first fragment is behind the head");
        let references = content.start + 24..content.end;
        assert_eq!(
            references.len() / EACH,
            number(text, content.start + 20) as usize
        );
        let each = references
            .step_by(EACH)
            .map(|at| (number(text, at), number(text, at + 4)));
        each.collect()
    });
    (number(text, movie + 16), fragments, index)
}

#[test]
fn a_head_says_nothing_of_a_file_that_grows_and_all_of_one_that_is_whole() {
    for audio in [None, Some(AudioCodec::Aac)] {
        let tracks = tracks(audio);
        let text = head(&tracks, 1_763_708_400_123).expect("it can be described");
        assert_eq!(told(&text), (0, None, None));
        let read = Head::parse(&text).expect("a head");
        assert_eq!((read.size, &read.tracks), (text.len(), &tracks));
        let mut index = Index::new(&tracks);
        for (second, is_key) in [(0, true), (1, false), (2, true)] {
            index.add(1000 + second as u64, shown(second, is_key));
        }
        let parts = index.fill(&read.blanks, 3000);
        // What was written first means nothing without the rest.
        let half = filled(&text, &parts[..1]);
        assert_eq!(told(&half), (3000, None, None));
        let whole = filled(&text, &parts);
        let references = vec![(2001, 180_000), (1002, 90_000)];
        assert_eq!(told(&whole), (3000, Some(3000), Some(references)));
        // It is read as before, and may be filled in again.
        let again = Head::parse(&whole).expect("a head");
        assert_eq!((again.size, &again.tracks), (text.len(), &tracks));
        assert_eq!(again.blanks, read.blanks);
        index.add(7, shown(3, true));
        let more = filled(&whole, &index.fill(&again.blanks, 4000));
        let (movie, fragments, references) = told(&more);
        assert_eq!((movie, fragments), (4000, Some(4000)));
        assert_eq!(references.map(|all| all.len()), Some(3));
        // What makes an index of the room is written by one sector.
        let start = read.blanks.room.expect("room").start;
        assert_eq!(start % ALIGNED, 0);
    }
}

#[test]
fn a_head_of_an_older_version_gets_its_durations() {
    let tracks = tracks(Some(AudioCodec::Aac));
    let text = head(&tracks, 0).expect("it can be described");
    let moov_end = text.len() - ROOM - BoxHead::parse(skip_of(&text)).expect("a box").size as usize;
    let mut old = text[..moov_end].to_vec();
    let at = Blanks::find(&old).fragments.expect("a blank").start;
    old[at + 4..at + 8].copy_from_slice(b"mehd");
    let read = Head::parse(&old).expect("a head");
    assert_eq!((read.size, read.blanks.room.clone()), (old.len(), None));
    let mut index = Index::new(&tracks);
    index.add(1000, shown(0, true));
    let whole = filled(&old, &index.fill(&read.blanks, 1000));
    assert_eq!(told(&whole), (1000, Some(1000), None));
}

/// The head of the box in front of the room.
fn skip_of(text: &[u8]) -> [u8; BOX_HEAD] {
    let mut all = boxes(text, 0..text.len());
    let skip = all.find(|(kind, _)| *kind == SKIP).expect("a box");
    *text[skip.1.start - BOX_HEAD..]
        .first_chunk()
        .expect("a box")
}

#[test]
fn an_index_of_many_fragments_tells_several_as_one() {
    let tracks = tracks(None);
    let text = head(&tracks, 0).expect("it can be described");
    let blanks = Blanks::find(&text);
    let mut index = Index::new(&tracks);
    for count in 1..=7200_u32 {
        let second = i64::from(count) - 1;
        index.add(1000, shown(second, true));
        assert!(index.references.len() <= MAX_ENTRIES);
        if count % 617 == 0 {
            let (_, _, references) = told(&filled(&text, &index.fill(&blanks, count * 1000)));
            let references = references.expect("an index");
            let sums = references
                .iter()
                .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            assert_eq!(sums, (count * 1000, count * 90_000), "nothing is left out");
            assert!(references.len() >= MAX_ENTRIES / 2 || references.len() == count as usize);
        }
    }
}

#[test]
fn what_an_index_cannot_tell_makes_none() {
    let tracks = tracks(None);
    let text = head(&tracks, 0).expect("it can be described");
    let blanks = Blanks::find(&text);
    let odd: [&[(u64, Option<PresentationInterval>)]; 6] = [
        &[],
        &[(10, None)],
        &[(u64::MAX, shown(0, true))],
        &[(10, shown(-1, true))],
        &[(10, shown(5, true)), (10, shown(4, true))],
        &[(1 << 30, shown(0, true)), (1 << 30, shown(1, false))],
    ];
    for fragments in odd {
        let mut index = Index::new(&tracks);
        for (bytes, shown) in fragments {
            index.add(*bytes, *shown);
        }
        let (movie, _, references) = told(&filled(&text, &index.fill(&blanks, 1000)));
        assert_eq!((movie, references), (1000, None), "{fragments:?}");
    }
}

proptest! {
    #[test]
    fn blanks_are_within_a_head_whatever_it_says(at in 0_usize..1200, bytes in any::<[u8; 4]>()) {
        let mut text = head(&tracks(Some(AudioCodec::Aac)), 0).expect("it can be described");
        let at = at % (text.len() - 4);
        text[at..at + 4].copy_from_slice(&bytes);
        if let Ok(read) = Head::parse(&text) {
            prop_assert!(read.size <= text.len());
            let mut index = Index::new(&read.tracks);
            index.add(1000, shown(0, true));
            for (offset, bytes) in index.fill(&read.blanks, 1000).iter().flatten() {
                prop_assert!(*offset as usize + bytes.len() <= read.size);
            }
        }
    }
}
