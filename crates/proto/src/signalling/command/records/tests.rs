//! Parameters of the commands about recordings, in the spellings that clients in the field send,
//! and the answers to them.

use super::*;

fn command(text: &str) -> Result<Option<PlaybackCommand>, Error> {
    let query = Query::parse(text)?;
    let cmd = query.value("cmd")?.unwrap_or_default().to_owned();
    PlaybackCommand::from_query(&cmd, &query)
}

#[test]
fn commands_for_a_player() {
    use PlaybackCommand::*;
    for (text, expected) in [
        ("cmd=playback_pause", Pause),
        ("cmd=playback_resume&x=1", Resume),
        ("cmd=playback_progress", Progress),
        (
            "cmd=playback_seek&progress=123456",
            Seek(SeekTo::Offset { millis: 123_456 }),
        ),
        (
            "cmd=playback_seek&time=60",
            Seek(SeekTo::Offset { millis: 60_000 }),
        ),
        (
            "cmd=playback_seek&time=1633060850}",
            Seek(SeekTo::Date {
                millis: 1_633_060_850_000,
            }),
        ),
        ("cmd=playback_ff&value=0", Fast { every: 0 }),
        ("cmd=playback_ff&speed=3", Fast { every: 3 }),
        (
            "cmd=playback_rewind&start_time=100&end_time=200",
            Rewind {
                from: Some(200),
                to: Some(100),
            },
        ),
        (
            "cmd=playback_rewind",
            Rewind {
                from: None,
                to: None,
            },
        ),
        ("cmd=playback_speed&speed=50", Speed { millis: 50 }),
        (
            "cmd=playback_seek&time=15.999999}",
            Seek(SeekTo::Offset { millis: 15_000 }),
        ),
        (
            "cmd=playback_seek&progress=1500.75",
            Seek(SeekTo::Offset { millis: 1500 }),
        ),
        (
            "cmd=playback_rewind&start_time=100.5&end_time=200.000000",
            Rewind {
                from: Some(200),
                to: Some(100),
            },
        ),
        ("cmd=playback_speed&speed=40.000000", Speed { millis: 40 }),
    ] {
        assert_eq!(command(text), Ok(Some(expected)), "{text}");
    }
    assert_eq!(command("cmd=playback_dance"), Ok(None));
    for text in [
        "cmd=playback_seek",
        "cmd=playback_seek&progress=-1",
        "cmd=playback_seek&progress=x",
        "cmd=playback_seek&progress=9223372036854775807",
        "cmd=playback_seek&time=1.5.0",
        "cmd=playback_seek&time=.5",
        "cmd=playback_seek&time=}",
        // Every half key frame is none.
        "cmd=playback_ff&value=0.5",
        "cmd=playback_speed&speed=0.9",
        "cmd=playback_ff",
        "cmd=playback_ff&value=-1",
        "cmd=playback_ff&value=4294967296",
        "cmd=playback_rewind&start_time=-5",
        "cmd=playback_speed&speed=0",
        "cmd=playback_speed&speed=10001",
        "cmd=playback_speed",
    ] {
        assert!(command(text).is_err(), "{text}");
    }
}

#[test]
fn windows_and_months() {
    let window = |text| Window::from_query(&Query::parse(text).expect("a query"));
    assert_eq!(window(""), Ok(None));
    let known = Some(Window { start: 1, end: 2 });
    assert_eq!(window("start_time=1&end_time=2"), Ok(known));
    assert_eq!(window("starttime=1&endtime=2"), Ok(known));
    // As `%f` writes them; the digits that are cut off may be many.
    assert_eq!(
        window("start_time=1.000000&end_time=2.999999999999999999999999"),
        Ok(known)
    );
    assert_eq!(window("start_time=1.&end_time=02"), Ok(known));
    for text in [
        "start_time=1.2&end_time=1.9",
        "start_time=1&end_time=nan",
        "start_time=1&end_time=inf",
        "start_time=1&end_time=1e9",
        "start_time=1&end_time=2.5e3",
        "start_time=1&end_time=0x10",
        "start_time=1&end_time=%2B2",
        "start_time=1&end_time=+2",
        "start_time=1&end_time=%202",
        "start_time=1&end_time=-0.0",
        "start_time=1&end_time=2,5",
        "start_time=1&end_time=2.-5",
        "start_time=1&end_time=99999999999999999999999999.0",
        "start_time=1&end_time=\u{0662}",
        "start_time=1",
        "end_time=1",
        "start_time=2&end_time=2",
        "start_time=3&end_time=2",
        "start_time=-1&end_time=2",
        "start_time=1&end_time=99999999999999",
    ] {
        assert!(window(text).is_err(), "{text}");
    }
    let month = |text| Month::from_query(&Query::parse(text).expect("a query"));
    assert_eq!(
        month("time=202402"),
        Ok(Month {
            year: 2024,
            month: 2
        })
    );
    assert_eq!(month("time=202402"), month("time=202402.000000"));
    for text in [
        "",
        "time=",
        "time=2024.02",
        "time=20241",
        "time=202413",
        "time=202400",
        "time=0000001",
        "time=+20241",
    ] {
        assert!(month(text).is_err(), "{text}");
    }
}

#[test]
fn a_long_list_stops_at_its_last_whole_entry() {
    let spans: Vec<_> = (0..1000_i64)
        .map(|index| RecordSpan {
            kind: 0,
            start: index * 100,
            end: index * 100 + 60,
        })
        .collect();
    let newest = encode_spans(&spans, 600);
    assert!(
        newest.len() <= MAX_REPLY && newest.ends_with(r#"],"more":"1"}"#),
        "{newest}"
    );
    let read: serde_json::Value = serde_json::from_str(&newest).expect("JSON");
    assert_eq!(read["video_list"][0]["type"], 0);
    let list = read["video_list"].as_array().expect("a list");
    assert_eq!(list.last().expect("some")["end_time"], "99960");
    assert!(list.len() > 200);
    let two = encode_spans(&spans, 2);
    assert!(
        two.starts_with(r#"{"video_list":[{"type":0,"start_time":"99800""#)
            && two.ends_with(r#""more":"1"}"#),
        "{two}"
    );
    assert_eq!(encode_spans(&[], 1), r#"{"video_list":[]}"#);
    assert!(!encode_spans(&spans[..3], 3).contains("more"));
}

#[test]
fn files_are_written_in_both_dialects() {
    let file = FileEntry {
        content: Content::Snapshot,
        name: "0-1.jpg".to_owned(),
        size: 1024,
        times: ["a".to_owned(), "b".to_owned()],
    };
    let numbers = encode_files(std::slice::from_ref(&file), ListDialect::Numbers, 9);
    assert_eq!(
        numbers,
        r#"{"file_list":[{"file_type":"1","file_name":"0-1.jpg","file_size":"1024","start_time":"a","end_time":"b"}]}"#
    );
    assert!(encode_files(&[file], ListDialect::Words, 9).contains(r#""file_type":"picture""#));
}
