//! Speakers that are shell scripts: what they are given, what they leave behind, and how talks end.

use super::*;

fn pcm() -> AudioFormat {
    AudioFormat {
        coding: AudioCoding::Pcm,
        sample_rate: 8_000,
        channels: 1,
    }
}

fn shell(script: &str) -> ExecSpeaker {
    let command = ["sh", "-c", script].map(str::to_owned);
    ExecSpeaker::new(&command).expect("a command")
}

/// Waits until the programs of all talks have ended.
fn wait(speaker: &ExecSpeaker) {
    let until = Instant::now() + Duration::from_secs(20);
    while speaker.line.state().is_served {
        assert!(Instant::now() < until, "a program never ends");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_program_gets_what_is_talked() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("heard");
    let script = format!(
        "echo {{rate}} {{channels}} > {0}; cat >> {0}",
        path.display()
    );
    let speaker = shell(&script);
    let mut sink = speaker.open(&pcm()).expect("free");
    assert_eq!(speaker.open(&pcm()).err(), Some(HalError::Busy));
    sink.push(b"abcd");
    sink.push(b"efgh");
    drop(sink);
    wait(&speaker);
    assert_eq!(std::fs::read(&path).expect("a file"), b"8000 1\nabcdefgh");
}

#[test]
fn a_program_that_takes_nothing_keeps_nobody_waiting() {
    let speaker = shell("exec sleep 1000");
    for _ in 0..2 {
        let mut sink = speaker.open(&pcm()).expect("free");
        for _ in 0..20 {
            sink.push(&[1; 8000]);
            thread::sleep(Duration::from_millis(5));
        }
        drop(sink);
        wait(&speaker);
    }
}

#[test]
fn however_many_talk_one_program_runs_at_a_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("starts");
    let speaker = shell(&format!("echo x >> {}; cat; sleep 1", path.display()));
    let sink = speaker.open(&pcm()).expect("free");
    for _ in 0..1000 {
        assert_eq!(speaker.open(&pcm()).err(), Some(HalError::Busy));
    }
    drop(sink);
    // Its program still plays.
    assert_eq!(speaker.check(), Err(HalError::Busy));
    assert_eq!(speaker.open(&pcm()).err(), Some(HalError::Busy));
    wait(&speaker);
    assert_eq!(speaker.check(), Ok(()));
    assert_eq!(std::fs::read(&path).expect("a file"), b"x\n");
}

#[test]
fn a_talk_whose_format_changes_is_played_by_one_program_after_the_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("heard");
    let speaker = shell(&format!(
        "echo {{rate}} >> {0}; cat >> {0}; echo >> {0}",
        path.display()
    ));
    let faster = AudioFormat {
        sample_rate: 16_000,
        ..pcm()
    };
    let mut sink = speaker.open(&pcm()).expect("free");
    sink.push(b"slow");
    for _ in 0..100 {
        // All but the last wait in vain.
        assert_eq!(sink.change(&faster), Ok(true));
        sink.push(b"lost");
    }
    assert_eq!(sink.change(&faster), Ok(true));
    sink.push(b"fast");
    assert_eq!(speaker.open(&pcm()).err(), Some(HalError::Busy));
    drop(sink);
    wait(&speaker);
    let heard = std::fs::read_to_string(&path).expect("a file");
    assert!(heard.starts_with("8000\nslow\n"), "{heard}");
    assert!(heard.ends_with("16000\nfast\n"), "{heard}");
}

#[test]
fn a_talk_that_is_cut_off_makes_room_at_once() {
    let speaker = shell("exec sleep 1000");
    for _ in 0..3 {
        let mut sink = speaker.open(&pcm()).expect("free");
        sink.push(&[1; 8000]);
        sink.cut();
        assert_eq!(speaker.check(), Ok(()));
    }
    wait(&speaker);
}

#[test]
fn a_speaker_that_is_no_more_leaves_no_program() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("program");
    let speaker = shell(&format!("echo $$ > {}; exec sleep 1000", path.display()));
    let sink = speaker.open(&pcm()).expect("free");
    let until = Instant::now() + Duration::from_secs(20);
    while std::fs::read(&path).map_or(0, |text| text.len()) == 0 {
        assert!(Instant::now() < until, "it does not start");
        thread::sleep(Duration::from_millis(5));
    }
    drop(speaker);
    let program = std::fs::read_to_string(&path).expect("a file");
    assert!(!std::path::Path::new(&format!("/proc/{}", program.trim())).exists());
    drop(sink);
}

#[test]
fn a_worker_that_panics_frees_the_speaker() {
    let speaker = shell("cat");
    let line = Arc::clone(&speaker.line);
    line.state().append(&pcm());
    line.state().is_served = true;
    let worker = Worker {
        // There is no program to start.
        command: Arc::new([]),
        line,
    };
    assert!(thread::spawn(move || worker.run()).join().is_err());
    assert_eq!(speaker.check(), Ok(()));
    drop(speaker.open(&pcm()).expect("free"));
    wait(&speaker);
}

#[test]
fn what_a_program_started_is_killed_with_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("child");
    let script = format!("sleep 1000 & echo $! > {}; wait", path.display());
    let speaker = shell(&script);
    drop(speaker.open(&pcm()).expect("free"));
    wait(&speaker);
    let child = std::fs::read_to_string(&path).expect("a file");
    let stat = format!("/proc/{}/stat", child.trim());
    let until = Instant::now() + Duration::from_secs(20);
    // Whoever inherits it may not have waited for it yet.
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < until, "it lives on");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_program_that_ends_is_started_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("starts");
    let speaker = shell(&format!(
        "echo x >> {}; head -c 2 > /dev/null",
        path.display()
    ));
    let mut sink = speaker.open(&pcm()).expect("free");
    let until = Instant::now() + Duration::from_secs(20);
    while std::fs::read(&path).map_or(0, |starts| starts.len()) < 3 * 2 {
        assert!(Instant::now() < until, "it is not started again");
        sink.push(&[0; 64]);
        thread::sleep(Duration::from_millis(5));
    }
    drop(sink);
    wait(&speaker);
}

#[test]
fn what_has_no_room_is_lost_in_whole_samples() {
    let line = Line::default();
    let stereo = AudioFormat {
        sample_rate: 4,
        channels: 2,
        ..pcm()
    };
    let key = line.state().append(&stereo);
    for block in [&b"aaaabbbb"[..], b"cccc"] {
        line.state().part(key).expect("it is there").push(block);
    }
    assert_eq!(line.take().as_deref(), Some(b"bbbbcccc".as_slice()));
    line.state().end(key);
    assert_eq!(line.take(), None);
}

#[test]
fn a_program_that_is_not_there_is_no_reason_to_hang() {
    let speaker = ExecSpeaker::new(&["/nowhere/player".to_owned()]).expect("a command");
    let sink = speaker.open(&pcm()).expect("free");
    drop(sink);
    wait(&speaker);
    assert!(ExecSpeaker::new(&[]).is_err());
}
