//! Lists of recordings: pieces, pages, joined spans, and a medium that repeats itself or fails on
//! the way.

use peercam_hal::{BoxFuture, Capabilities, HalError, Recording, RecordingFile, RecordingReader};

use super::*;

struct Kept(Vec<Recording>);

impl RecordingIndex for Kept {
    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<Recording>, HalError>> {
        let overlapping = self.0.iter().filter(|one| {
            one.start_millis < query.window.end
                && one.end_millis.max(one.start_millis + 1) > query.window.start
                && query.starts.contains(&one.start_millis)
                && query.content.is_none_or(|content| content == one.content)
        });
        let listed: Vec<_> = overlapping.copied().collect();
        let listed = match query.page {
            Page::Oldest(most) => listed[..listed.len().min(most)].to_vec(),
            Page::Newest(most) => listed[listed.len().saturating_sub(most)..].to_vec(),
        };
        Box::pin(std::future::ready(Ok(listed)))
    }

    fn open(&self, _: i64) -> BoxFuture<'_, Result<Box<dyn RecordingReader>, HalError>> {
        Box::pin(std::future::ready(Err(HalError::Missing)))
    }

    fn fetch(&self, _: i64, _: Content) -> BoxFuture<'_, Result<Box<dyn RecordingFile>, HalError>> {
        Box::pin(std::future::ready(Err(HalError::Missing)))
    }
}

fn video(start_millis: i64, end_millis: i64, kind: u32) -> Recording {
    Recording {
        start_millis,
        end_millis,
        kind,
        size: 1000,
        content: Content::Video,
    }
}

fn channels(index: Arc<dyn RecordingIndex>) -> ChannelRegistry {
    ChannelRegistry::for_tests(Capabilities {
        recordings: Some(index),
        ..Capabilities::default()
    })
}

fn recordings(list: Vec<Recording>, zone: &str, dialect: ListDialect) -> Recordings {
    let index: Arc<dyn RecordingIndex> = Arc::new(Kept(list));
    let zone = TimeZone::posix(zone).expect("a zone");
    Recordings::new(channels(index), zone, dialect)
}

/// The whole text of a list, and the longest piece of it.
async fn told(recordings: &Recordings, window: Range<i64>, listed: Listed) -> (String, usize) {
    told_in(recordings, window, None, listed).await
}

async fn told_in(
    recordings: &Recordings,
    window: Range<i64>,
    limit: Option<usize>,
    listed: Listed,
) -> (String, usize) {
    let window = Window {
        start: window.start,
        end: window.end,
    };
    let mut listing = recordings.listing(ChannelId(0), window, limit, listed);
    let (mut whole, mut longest) = (String::new(), 0);
    while let Some(piece) = listing.next().await.expect("a list") {
        longest = longest.max(piece.len());
        whole.push_str(&piece);
    }
    assert!(listing.is_over());
    (whole, longest)
}

fn entries(text: &str) -> Vec<serde_json::Value> {
    let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let list = json.get("file_list").or_else(|| json.get("video_list"));
    let list = list.and_then(|list| list.as_array());
    list.expect("a list").clone()
}

/// Starts and ends of the spans in a window, in whole seconds.
async fn spans_within(recordings: &Recordings, window: Range<i64>) -> Vec<(i64, i64)> {
    let (text, _) = told(recordings, window, Listed::Spans(None)).await;
    let second = |entry: &serde_json::Value, key: &str| {
        let text = entry[key].as_str().expect("a text");
        text.parse().expect("a number")
    };
    let entries = entries(&text);
    let spans = entries
        .iter()
        .map(|entry| (second(entry, "start_time"), second(entry, "end_time")));
    spans.collect()
}

async fn spans(list: Vec<Recording>, kind: Option<u32>) -> Vec<(u32, i64, i64)> {
    let recordings = recordings(list, "UTC0", ListDialect::Numbers);
    match recordings.newest_spans(ChannelId(0), kind, None).await {
        Ok(Reply::RecordIndex { spans, .. }) => spans
            .iter()
            .map(|span| (span.kind, span.start, span.end))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_follows_each_other_is_one() {
    let list = vec![
        video(500, 60_500, 0),
        video(60_480, 120_480, 0),
        video(121_480, 130_000, 0),
        video(131_001, 140_000, 0),
        video(140_000, 150_000, 1),
        video(150_000, 160_000, 0),
    ];
    assert_eq!(
        spans(list.clone(), None).await,
        [(0, 0, 130), (0, 131, 140), (1, 140, 150), (0, 150, 160)]
    );
    assert_eq!(spans(list, Some(1)).await, [(1, 140, 150)]);
}

#[tokio::test]
async fn many_recordings_are_told_as_few() {
    // Every hundredth file follows a gap of a minute; every thousandth one lies within another.
    let minute = |number: i64| video(number * 60_000 + number / 100 * 60_000, 0, 0);
    let mut list: Vec<_> = (0..5000).map(minute).collect();
    for one in &mut list {
        one.end_millis = one.start_millis + 60_000;
    }
    let expected: Vec<_> = (0..50).map(|run| (run * 6060, run * 6060 + 6000)).collect();
    for inside in (0..5).rev() {
        let start = list[inside * 1000 + 511].start_millis;
        list.insert(
            inside * 1000 + 512,
            video(start + 10_000, start + 20_000, 0),
        );
    }
    let recordings = recordings(list, "UTC0", ListDialect::Numbers);
    let reply = recordings.newest_spans(ChannelId(0), None, None).await;
    let Ok(Reply::RecordIndex { spans, .. }) = reply else {
        panic!("{reply:?}");
    };
    let spans: Vec<_> = spans.iter().map(|span| (span.start, span.end)).collect();
    assert_eq!(spans, expected);
    assert_eq!(spans_within(&recordings, 0..1_000_000).await, expected);
}

#[tokio::test]
async fn recordings_that_all_overlap_are_gone_through_once() {
    // As of a clock that is the same after each power cut; and one behind them all.
    let mut list: Vec<_> = (0..5000).map(|start| video(start, 1_000_000, 0)).collect();
    list.push(video(2_000_000, 2_001_000, 1));
    let recordings = recordings(list, "UTC0", ListDialect::Numbers);
    let reply = recordings.newest_spans(ChannelId(0), None, None).await;
    let Ok(Reply::RecordIndex { spans, .. }) = reply else {
        panic!("{reply:?}");
    };
    let spans: Vec<_> = spans.iter().map(|span| (span.start, span.end)).collect();
    let expected = [(0, 1000), (2000, 2001)];
    assert_eq!(spans, expected);
    assert_eq!(spans_within(&recordings, 500..10_000).await, expected);
}

#[tokio::test]
async fn a_day_is_told_whole_and_piece_by_piece() {
    let day = (0..1440).map(|minute| video(minute * 60_000, minute * 60_000 + 60_000, 0));
    let mut list: Vec<_> = day.collect();
    // A still of each start: also where a page ends between the two.
    let stills: Vec<_> = list
        .iter()
        .map(|one| Recording {
            content: Content::Snapshot,
            ..*one
        })
        .collect();
    list.extend(stills);
    list.sort_by_key(|one| one.start_millis);
    let recordings = recordings(list, "UTC0", ListDialect::Numbers);
    let day = 0..86_400;
    for (content, count) in [
        (None, 2880),
        (Some(Content::Video), 1440),
        (Some(Content::Snapshot), 1440),
    ] {
        let (text, longest) = told(&recordings, day.clone(), Listed::Files(content)).await;
        assert!(!text.contains("more") && longest < 32 << 10, "{longest}");
        let mut names: Vec<_> = entries(&text)
            .iter()
            .map(|entry| entry["file_name"].to_string())
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "{content:?}");
    }
    assert_eq!(spans_within(&recordings, day.clone()).await, [(0, 86_400)]);
    for (limit, more) in [
        (1, true),
        (128, true),
        (1439, true),
        (1440, false),
        (5000, false),
    ] {
        let files = Listed::Files(Some(Content::Video));
        let (text, _) = told_in(&recordings, day.clone(), Some(limit), files).await;
        assert_eq!(entries(&text).len(), limit.min(1440));
        assert_eq!(text.ends_with(r#"],"more":"1"}"#), more, "{limit}");
    }
}

#[tokio::test]
async fn a_card_that_fails_within_a_list_ends_it_with_the_reason() {
    struct Pulled(Kept, std::sync::atomic::AtomicUsize);
    impl RecordingIndex for Pulled {
        fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<Recording>, HalError>> {
            match self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => self.0.list(query),
                _ => Box::pin(std::future::ready(Err(HalError::Failed(
                    "\"pulled\"".into(),
                )))),
            }
        }
        fn open(&self, at: i64) -> BoxFuture<'_, Result<Box<dyn RecordingReader>, HalError>> {
            self.0.open(at)
        }
        fn fetch(
            &self,
            at: i64,
            content: Content,
        ) -> BoxFuture<'_, Result<Box<dyn RecordingFile>, HalError>> {
            self.0.fetch(at, content)
        }
    }
    let list = (0..500).map(|number| video(number * 1000, number * 1000 + 1000, 0));
    let index: Arc<dyn RecordingIndex> = Arc::new(Pulled(Kept(list.collect()), 0.into()));
    let recordings = Recordings::new(channels(index), TimeZone::UTC, ListDialect::Numbers);
    let window = Window {
        start: 0,
        end: 1000,
    };
    let mut listing = recordings.listing(ChannelId(0), window, None, Listed::Files(None));
    let mut text = listing.next().await.expect("a page").expect("a piece");
    let error = listing.next().await.expect_err("pulled");
    text.push_str(&listing.broken(error.reason()));
    assert_eq!(entries(&text).len(), 127);
    assert!(text.contains(r#"],"more":"1","reason":""#), "{text}");
    assert_eq!(listing.next().await, Ok(None));
}

/// Lists what it likes, however often it is asked.
struct Stubborn(fn(&Query) -> i64);

impl RecordingIndex for Stubborn {
    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<Recording>, HalError>> {
        let first = (self.0)(&query);
        let listed = (0..600).map(|number| video(first + number * 5000, first + number * 5000, 0));
        Box::pin(std::future::ready(Ok(listed.collect())))
    }

    fn open(&self, _: i64) -> BoxFuture<'_, Result<Box<dyn RecordingReader>, HalError>> {
        Box::pin(std::future::ready(Err(HalError::Missing)))
    }

    fn fetch(&self, _: i64, _: Content) -> BoxFuture<'_, Result<Box<dyn RecordingFile>, HalError>> {
        Box::pin(std::future::ready(Err(HalError::Missing)))
    }
}

#[tokio::test]
async fn an_index_that_goes_nowhere_is_left() {
    let indexes: [fn(&Query) -> i64; 3] = [
        // The same, again and again; from one on that was; without an end.
        |_| 0,
        |query| query.starts.start.max(0) - 1,
        |query| query.starts.start.max(0),
    ];
    for first in indexes {
        let index: Arc<dyn RecordingIndex> = Arc::new(Stubborn(first));
        let zone = TimeZone::UTC;
        let recordings = Recordings::new(channels(index), zone, ListDialect::Numbers);
        // None of them is of the kind that is asked for.
        let reply = recordings.newest_spans(ChannelId(0), Some(7), None).await;
        assert!(matches!(&reply, Ok(Reply::RecordIndex { spans, .. }) if spans.is_empty()));
        let files = recordings.newest_files(ChannelId(0), None, None).await;
        files.expect("a list");
        let all = 0..i64::MAX / 1000;
        let (text, _) = told(&recordings, all.clone(), Listed::Spans(Some(7))).await;
        assert_eq!(entries(&text).len(), 0);
        told(&recordings, all, Listed::Files(None)).await;
    }
}

/// The days of a month that are told, for recordings of these times.
async fn days(times: &[(&str, &str)], zone: &str, year: i16, month: i8) -> Vec<u32> {
    let millis = |text: &str| text.parse::<Timestamp>().expect("a time").as_millisecond();
    let list = times
        .iter()
        .map(|(start, end)| video(millis(start), millis(end), 0));
    let recordings = recordings(list.collect(), zone, ListDialect::Numbers);
    match recordings.days(ChannelId(0), Month { year, month }).await {
        Ok(Reply::MonthRecord(bits)) => (1..=32).filter(|day| bits & 1 << (day - 1) != 0).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn days_are_those_of_the_device() {
    let evening = [("2024-01-07T16:30:00Z", "2024-01-07T16:31:00Z")];
    assert_eq!(days(&evening, "UTC0", 2024, 1).await, [7]);
    assert_eq!(days(&evening, "CST-8", 2024, 1).await, [8]);
    let over_midnight = [("2024-01-31T23:59:30Z", "2024-02-01T00:00:30Z")];
    assert_eq!(days(&over_midnight, "UTC0", 2024, 1).await, [31]);
    assert_eq!(days(&over_midnight, "UTC0", 2024, 2).await, [1]);
    let to_midnight = [("2024-01-13T23:59:30Z", "2024-01-14T00:00:00Z")];
    assert_eq!(days(&to_midnight, "UTC0", 2024, 1).await, [13]);
    let leap = [("2024-02-29T12:00:00Z", "2024-02-29T12:01:00Z")];
    assert_eq!(days(&leap, "UTC0", 2024, 2).await, [29]);
    // Clocks go forward on 31 March 2024 and back on 27 October, in Berlin.
    let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
    let spring = [
        ("2024-03-30T22:59:00Z", "2024-03-30T22:59:59Z"),
        ("2024-03-31T21:59:00Z", "2024-03-31T21:59:59Z"),
    ];
    assert_eq!(days(&spring, berlin, 2024, 3).await, [30, 31]);
    let autumn = [("2024-10-27T22:59:00Z", "2024-10-27T23:01:00Z")];
    assert_eq!(days(&autumn, berlin, 2024, 10).await, [27, 28]);
}

#[tokio::test]
async fn files_are_told_with_names_that_stay() {
    let mut list = vec![video(1_705_984_440_500, 1_705_984_499_400, 0)];
    list[0].size = 1_024_000;
    let recordings = recordings(list, "CST-8", ListDialect::Words);
    let reply = recordings
        .newest_files(ChannelId(0), None, None)
        .await
        .expect("a list");
    assert_eq!(
        reply.clone().encode(),
        r#"{"file_list":[{"file_type":"video","file_name":"0-1705984440500.mp4","file_size":"1024000","start_time":"2024-01-23_12-34-00","end_time":"2024-01-23_12-35-00"}]}"#
    );
    let (text, _) = told(
        &recordings,
        1_705_984_440..1_705_984_441,
        Listed::Files(None),
    )
    .await;
    assert_eq!(text, reply.encode());
    let none = recordings
        .newest_files(ChannelId(0), Some(Content::Snapshot), None)
        .await;
    assert_eq!(none.expect("a list").encode(), r#"{"file_list":[]}"#);
    let unknown = recordings.newest_files(ChannelId(1), None, None).await;
    assert!(unknown.is_err());
}

#[test]
fn only_names_of_ours_name_a_file() {
    assert_eq!(
        parse_file_name("3-1705984440500.jpg"),
        Some((ChannelId(3), 1_705_984_440_500, Content::Snapshot))
    );
    for name in [
        "",
        "../0-1.mp4",
        "/0-1.mp4",
        "0-1.mp4\0",
        "0-1.mp4/",
        "00-1.mp4",
        "0-01.mp4",
        "+0-1.mp4",
        "0-+1.mp4",
        "0-1.MP4",
        "0-1",
        "%30-1.mp4",
        "70000-1.mp4",
        "0-99999999999999999999.mp4",
    ] {
        assert_eq!(parse_file_name(name), None, "{name:?}");
    }
}
