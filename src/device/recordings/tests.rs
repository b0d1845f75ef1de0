use super::*;
use crate::hal::{BoxFuture, HalError, Recording, RecordingFile, RecordingReader};

struct Listed(Vec<Recording>);

impl RecordingIndex for Listed {
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

fn recordings(list: Vec<Recording>, zone: &str, dialect: ListDialect) -> Recordings {
    let index: Arc<dyn RecordingIndex> = Arc::new(Listed(list));
    let zone = TimeZone::posix(zone).expect("a zone");
    Recordings::new(BTreeMap::from([(ChannelId(0), index)]), zone, dialect)
}

async fn spans(list: Vec<Recording>, kind: Option<u32>) -> Vec<(u32, i64, i64)> {
    let recordings = recordings(list, "UTC0", ListDialect::Numbers);
    match recordings.spans(ChannelId(0), None, kind).await {
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
    let all = Some(Window {
        start: 0,
        end: 1_000_000,
    });
    for window in [None, all] {
        let reply = recordings.spans(ChannelId(0), window, None).await;
        let Ok(Reply::RecordIndex { spans, .. }) = reply else {
            panic!("{reply:?}");
        };
        let spans: Vec<_> = spans.iter().map(|span| (span.start, span.end)).collect();
        assert_eq!(spans, expected, "{window:?}");
    }
}

#[tokio::test]
async fn recordings_that_all_overlap_are_gone_through_once() {
    // As of a clock that is the same after each power cut; and one behind them all.
    let mut list: Vec<_> = (0..5000).map(|start| video(start, 1_000_000, 0)).collect();
    list.push(video(2_000_000, 2_001_000, 1));
    let recordings = recordings(list, "UTC0", ListDialect::Numbers);
    let late = Some(Window {
        start: 500,
        end: 10_000,
    });
    for window in [None, late] {
        let reply = recordings.spans(ChannelId(0), window, None).await;
        let Ok(Reply::RecordIndex { spans, .. }) = reply else {
            panic!("{reply:?}");
        };
        let spans: Vec<_> = spans.iter().map(|span| (span.start, span.end)).collect();
        assert_eq!(spans, [(0, 1000), (2000, 2001)], "{window:?}");
    }
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
    let all = Some(Window {
        start: 0,
        end: i64::MAX / 1000,
    });
    let indexes: [fn(&Query) -> i64; 3] = [
        // The same, again and again; from one on that was; without an end.
        |_| 0,
        |query| query.starts.start.max(0) - 1,
        |query| query.starts.start.max(0),
    ];
    for (window, first) in [None, all]
        .into_iter()
        .flat_map(|window| indexes.map(|one| (window, one)))
    {
        let index: Arc<dyn RecordingIndex> = Arc::new(Stubborn(first));
        let zone = TimeZone::UTC;
        let recordings = Recordings::new(
            BTreeMap::from([(ChannelId(0), index)]),
            zone,
            ListDialect::Numbers,
        );
        // None of them is of the kind that is asked for.
        let reply = recordings.spans(ChannelId(0), window, Some(7)).await;
        assert!(matches!(&reply, Ok(Reply::RecordIndex { spans, .. }) if spans.is_empty()));
        recordings
            .files(ChannelId(0), window, None)
            .await
            .expect("a list");
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
        .files(ChannelId(0), None, None)
        .await
        .expect("a list");
    assert_eq!(
        reply.encode(),
        r#"{"file_list":[{"file_type":"video","file_name":"0-1705984440500.mp4","file_size":"1024000","start_time":"2024-01-23_12-34-00","end_time":"2024-01-23_12-35-00"}]}"#
    );
    let none = recordings
        .files(ChannelId(0), None, Some(Content::Picture))
        .await;
    assert_eq!(none.expect("a list").encode(), r#"{"file_list":[]}"#);
    assert!(recordings.files(ChannelId(1), None, None).await.is_err());
}

#[test]
fn only_names_of_ours_name_a_file() {
    assert_eq!(
        parse_file_name("3-1705984440500.jpg"),
        Some((ChannelId(3), 1_705_984_440_500, Content::Picture))
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
