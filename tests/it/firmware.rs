//! A firmware that speaks the socket's protocol, written here by hand from `docs/hal-socket.md`.

use std::path::Path;

use peercam_hal::{
    Camera, SourceEvent,
    clock::Clock,
    sim::{AudioKind, Config, SimCamera},
};
use peercam_proto::media::{Quality, TrackKind, VideoTrack};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinSet,
};

use crate::support::HANG;

/// A message: head and body.
pub(crate) fn message(kind: u8, quality: u8, channel: u16, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut out = (body.len() as u32).to_le_bytes().to_vec();
    out.extend([kind, quality]);
    out.extend(channel.to_le_bytes());
    out.extend(body);
    out
}

pub(crate) fn hello() -> Vec<u8> {
    message(1, 0, 0, &[b"PCAM", &[1, 0], b"a test"])
}

/// H.264 at 25 fps with A-law, and an encoder that obeys.
pub(crate) fn announcement(channel: u16, quality: u8) -> Vec<u8> {
    let sound = [
        &[1, 2, 1, 3][..],
        &8_000_u32.to_le_bytes(),
        &25_000_u32.to_le_bytes(),
    ];
    message(2, quality, channel, &sound)
}

/// Firmware that pushes the simulated picture as channel 0, high. Dropping it ends it.
pub(crate) struct Firmware {
    told: mpsc::UnboundedReceiver<String>,
    grow: mpsc::UnboundedSender<()>,
    _tasks: JoinSet<()>,
}

impl Firmware {
    pub(crate) async fn start(path: &Path) -> Self {
        let (read, mut write) = UnixStream::connect(path).await.unwrap().into_split();
        write.write_all(&hello()).await.unwrap();
        write.write_all(&announcement(0, 1)).await.unwrap();
        // Everything but AAC.
        write
            .write_all(&message(6, 0, 0, &[&[0xf7, 0, 0, 0]]))
            .await
            .unwrap();
        let (told_sender, told) = mpsc::unbounded_channel();
        let (grow, grown) = mpsc::unbounded_channel();
        let (answers, waiting) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(push(write, grown, waiting));
        tasks.spawn(listen(read, told_sender, answers));
        Self {
            told,
            grow,
            _tasks: tasks,
        }
    }

    /// Waits until the daemon has said this; gives what it has said before.
    pub(crate) async fn told(&mut self, is_it: impl Fn(&str) -> bool) -> Vec<String> {
        let mut heard = Vec::new();
        let waited = tokio::time::timeout(HANG, async {
            while let Some(told) = self.told.recv().await {
                if is_it(&told) {
                    return;
                }
                heard.push(told);
            }
        });
        assert!(waited.await.is_ok(), "only {heard:?}");
        heard
    }

    /// Goes on with a larger picture.
    pub(crate) fn grow(&self) {
        self.grow.send(()).unwrap();
    }
}

fn annex_b(track: &VideoTrack, key: bool, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |unit: &[u8]| {
        out.extend([0, 0, 0, 1]);
        out.extend_from_slice(unit);
    };
    if key {
        let mut rest = &track.config[6..];
        for _ in 0..2 {
            let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            add(&rest[2..2 + length]);
            rest = rest.get(2 + length + 1..).unwrap_or_default();
        }
    }
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (unit, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        add(unit);
        rest = after;
    }
    out
}

async fn push(
    mut write: OwnedWriteHalf,
    mut grown: mpsc::UnboundedReceiver<()>,
    mut answers: mpsc::UnboundedReceiver<Vec<u8>>,
) {
    let config = Config {
        audio: AudioKind::Pcma,
        gop: 25,
        ..Config::default()
    };
    let camera = SimCamera::new(Clock::start(), config);
    let mut input = camera.open(Quality::Standard).unwrap();
    let mut track = None;
    loop {
        let event = tokio::select! {
            event = input.source.next() => event,
            Some(()) = grown.recv() => {
                input = camera.open(Quality::High).unwrap();
                continue;
            }
            Some(answer) = answers.recv() => {
                if write.write_all(&answer).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let frame = match event {
            SourceEvent::Online(tracks) => {
                track = tracks.video;
                continue;
            }
            SourceEvent::Frame(frame) => frame,
            event => panic!("{event:?}"),
        };
        let time = frame.time.as_micros().to_le_bytes();
        let sent = match (frame.track, &track) {
            (TrackKind::Video, Some(track)) => {
                let data = annex_b(track, frame.key, &frame.data);
                message(3, 1, 0, &[&time, &[0; 8], &data])
            }
            _ => message(4, 1, 0, &[&time, &frame.data]),
        };
        if write.write_all(&sent).await.is_err() {
            return;
        }
    }
}

/// Notes what the daemon says, in words, and answers what wants an answer.
async fn listen(
    mut read: OwnedReadHalf,
    told: mpsc::UnboundedSender<String>,
    answers: mpsc::UnboundedSender<Vec<u8>>,
) {
    loop {
        let Some((kind, body)) = receive(&mut read).await else {
            return;
        };
        let number = || u32::from_le_bytes(body[..4].try_into().unwrap());
        let answer = |done: u8, text: &[u8]| {
            let answer = message(8, 0, 0, &[&body[..4], &[1 - done, 0, 0, 0], text]);
            // Whoever would send it may have ended.
            let _ = answers.send(answer);
        };
        let said = match kind {
            64 => "welcome".to_owned(),
            65 => format!("goodbye {}", String::from_utf8_lossy(&body)),
            66 => format!("watch {}", body[0]),
            67 => "key".to_owned(),
            68 => format!("bitrate {}", number()),
            69 => format!(
                "turn {} {} {}",
                body[0].cast_signed(),
                body[1].cast_signed(),
                body[2]
            ),
            70 => format!("flip {}", body[0]),
            71 => format!("talk begins {}", body[0]),
            72 => format!("talk {}", body.len()),
            73 => "talk over".to_owned(),
            74 => {
                answer(1, &[0xff, 0xd8, 0xff, 0xd9]);
                "still".to_owned()
            }
            75 => {
                let text = String::from_utf8_lossy(&body[4..]).into_owned();
                answer(u8::from(text != "fail"), text.to_uppercase().as_bytes());
                format!("command {text}")
            }
            76 => {
                answer(1, b"");
                "reboot".to_owned()
            }
            77 => {
                answer(1, b"");
                "format".to_owned()
            }
            79 => format!(
                "caller {} {}",
                u32::from_le_bytes(body[4..8].try_into().unwrap()),
                String::from_utf8_lossy(&body[24..])
            ),
            other => format!("{other}"),
        };
        if told.send(said).is_err() {
            return;
        }
    }
}

/// The kind and the body of the next message; `None` at the end.
pub(crate) async fn receive(read: &mut OwnedReadHalf) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 8];
    read.read_exact(&mut head).await.ok()?;
    let length = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
    let mut body = vec![0; length];
    read.read_exact(&mut body).await.ok()?;
    Some((head[4], body))
}
