//! Media that outlives its connection.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, header};
use peercam_proto::{flv::Splice, query::Query};
use peercam_task::boundary::{self, Part};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc;

use super::{ClientRequest, Session};
use crate::{Answer, ClientError};

/// Pieces that wait for the one who takes the body. What is more waits at the device, which skips
/// for a viewer that is too slow.
const QUEUE_LEN: usize = 8;
/// Time that a stream may stand still because its connection was lost, before it is given up.
const GIVE_UP: Duration = Duration::from_secs(120);
/// Pause from one answer of a device to the next time it is asked for the same stream, whatever it
/// says and however it ends.
const PAUSE: Duration = Duration::from_millis(500);

/// Continuation of a body whose connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Live: goes on with the picture of now, as one stream.
    Live,
    /// Playback: ends in order behind the last whole tag; where to go on is the player's to say.
    Playback,
    /// A file: goes on with the very next byte.
    Download,
}

impl Kind {
    /// The kind that the target of a request asks for; `None` for what is no media.
    pub(crate) fn of(target: &str) -> Option<Self> {
        let (path, query) = target.split_once('?')?;
        let query = Query::parse(query).ok()?;
        let action = query.value_of_any(&["action", "type"]).ok()??;
        let kinds = [
            ("live", Self::Live),
            ("playback", Self::Playback),
            ("download", Self::Download),
        ];
        let mut kinds = kinds.into_iter().filter(|_| path.ends_with("/ipc.flv"));
        kinds
            .find(|(word, _)| action.eq_ignore_ascii_case(word))
            .map(|(_, kind)| kind)
    }
}

impl Session {
    /// Asks for media, whose body goes on when the connection is lost and made again: a live
    /// stream with a gap, with the next key frame; a download with the next byte. A playback ends
    /// in order.
    ///
    /// # Errors
    /// As [`Session::send`].
    pub async fn media(
        &self,
        target: &str,
        range: Option<HeaderValue>,
    ) -> Result<Answer, ClientError> {
        let is_ranged = range.is_some();
        let request = ClientRequest {
            range,
            ..ClientRequest::get(target)
        };
        let answer = self.send(request).await?;
        let kind = Kind::of(target)
            .filter(|kind| answer.status() == 200 && !(is_ranged && *kind == Kind::Download));
        let Some(kind) = kind else { return Ok(answer) };
        let (sender, pieces) = mpsc::channel(QUEUE_LEN);
        let (status, headers) = (answer.status(), answer.headers().clone());
        let stream = Stream {
            session: self.clone(),
            target: target.to_owned(),
            length: answer.length(),
            tag: answer.headers().get(header::ETAG).cloned(),
            sender,
        };
        let driver = async move {
            // That the one who takes it has gone ends it too.
            let _ = match kind {
                Kind::Live => stream.live(answer).await,
                Kind::Playback => stream.playback(answer).await,
                Kind::Download => stream.download(answer).await,
            };
        };
        let driver = boundary::spawn(Part::Connection, "body of the device", driver);
        Ok(Answer::resumed(status, headers, pieces, driver))
    }
}

/// A body on its way, over one connection after the other.
struct Stream {
    session: Session,
    target: String,
    /// Bytes of the whole, if the device said.
    length: Option<u64>,
    /// Name of the version of the file, likewise.
    tag: Option<HeaderValue>,
    sender: mpsc::Sender<Result<Bytes, ClientError>>,
}

/// The reader of the body has gone.
struct Gone;

/// State of a body that is asked for again and again.
struct Progress {
    /// Time at which the device last answered, or failed to.
    answered: Instant,
    /// Time at which something came that was of use.
    came: Instant,
}

impl Progress {
    fn begin() -> Self {
        let now = Instant::now();
        Self {
            answered: now,
            came: now,
        }
    }

    /// Time to ask again; `None` if that was in vain for too long. An answer with nothing in it is in
    /// vain too: else a device could have its viewer ask for ever.
    fn next(&self, now: Instant) -> Option<Instant> {
        let is_in_vain = self.came < self.answered;
        let is_over = is_in_vain && now >= self.came + GIVE_UP;
        (!is_over).then(|| now.max(self.answered + PAUSE))
    }
}

impl Stream {
    async fn live(&self, mut answer: Answer) -> Result<(), Gone> {
        let mut splice = Splice::new();
        let mut progress = Progress::begin();
        loop {
            loop {
                match self.piece(&mut answer).await? {
                    Ok(Some(piece)) => {
                        splice.feed(&piece);
                        if self.pass(&mut splice).await? {
                            progress.came = Instant::now();
                        }
                    }
                    Ok(None) if !answer.is_farewell() => return Ok(()),
                    Ok(None) | Err(_) => break,
                }
            }
            drop(answer);
            answer = match self.again(&self.target, &mut progress).await? {
                Ok(answer) => answer,
                Err(error) => return self.send(Err(error)).await,
            };
            let lost = progress.came.elapsed().as_millis();
            let lost = u32::try_from(lost).unwrap_or(u32::MAX);
            tracing::info!(lost_ms = lost, "the live stream goes on");
            splice.cut(lost);
        }
    }

    async fn playback(&self, mut answer: Answer) -> Result<(), Gone> {
        let mut splice = Splice::new();
        while let Ok(Some(piece)) = self.piece(&mut answer).await? {
            splice.feed(&piece);
            self.pass(&mut splice).await?;
        }
        Ok(())
    }

    async fn download(&self, mut answer: Answer) -> Result<(), Gone> {
        let start = offset(&self.target);
        let mut taken = 0;
        let mut progress = Progress::begin();
        loop {
            loop {
                match self.piece(&mut answer).await? {
                    Ok(Some(piece)) => {
                        taken += piece.len() as u64;
                        progress.came = Instant::now();
                        self.send(Ok(piece)).await?;
                    }
                    Ok(None) => return Ok(()),
                    Err(error @ ClientError::TooMuch) => return self.send(Err(error)).await,
                    Err(_) => break,
                }
            }
            drop(answer);
            let target = at_offset(&self.target, start + taken);
            answer = match self.again(&target, &mut progress).await? {
                Ok(answer) => answer,
                Err(error) => return self.send(Err(error)).await,
            };
            // Another length, or another tag, is another file.
            let rest = self.length.and_then(|length| length.checked_sub(taken));
            let tag = answer.headers().get(header::ETAG);
            if rest.is_none() || answer.length() != rest || tag != self.tag.as_ref() {
                return self.fail().await;
            }
            tracing::info!(offset = start + taken, "the download goes on");
        }
    }

    /// The next piece, as long as somebody takes it.
    async fn piece(&self, answer: &mut Answer) -> Result<Result<Option<Bytes>, ClientError>, Gone> {
        tokio::select! {
            piece = answer.piece() => Ok(piece),
            () = self.sender.closed() => Err(Gone),
        }
    }

    /// Sends on what can be, and says whether anything could. What is no FLV ends the stream.
    async fn pass(&self, splice: &mut Splice) -> Result<bool, Gone> {
        let mut has_passed = false;
        loop {
            match splice.next_bytes() {
                Ok(Some(bytes)) => {
                    self.send(Ok(bytes)).await?;
                    has_passed = true;
                }
                Ok(None) => return Ok(has_passed),
                Err(error) => {
                    tracing::warn!(%error, "the device sends no FLV");
                    self.fail().await?;
                    return Err(Gone);
                }
            }
        }
    }

    /// Asks once more, until it works or was in vain for too long. Gives the device's word if it is
    /// there and says no, such as that this viewer was revoked; else how it failed last.
    async fn again(
        &self,
        target: &str,
        progress: &mut Progress,
    ) -> Result<Result<Answer, ClientError>, Gone> {
        let mut last = ClientError::Broken;
        while let Some(next) = progress.next(Instant::now()) {
            let asked = async {
                tokio::time::sleep_until(next.into()).await;
                let sent = self.session.send(ClientRequest::get(target)).await;
                sent?.checked().await
            };
            let sent = tokio::select! {
                sent = asked => sent,
                () = self.sender.closed() => return Err(Gone),
            };
            progress.answered = Instant::now();
            match sent {
                Ok(answer) if answer.status() == 200 => return Ok(Ok(answer)),
                Ok(_) => return Ok(Err(ClientError::Broken)),
                Err(error) if is_final(&error) => return Ok(Err(error)),
                Err(error) => last = error,
            }
        }
        Ok(Err(last))
    }

    async fn send(&self, piece: Result<Bytes, ClientError>) -> Result<(), Gone> {
        self.sender.send(piece).await.map_err(|_| Gone)
    }

    /// Ends the body as one that broke off.
    async fn fail(&self) -> Result<(), Gone> {
        self.send(Err(ClientError::Broken)).await
    }
}

/// Returns whether asking again would not help. Some refusals are for a moment only: the device is
/// full with a ghost of this viewer (503), or its camera is starting (502).
fn is_final(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { status, .. } => !matches!(status, 502 | 503),
        ClientError::NotAccepted => true,
        _ => false,
    }
}

/// The value of `offset`.
fn offset(target: &str) -> u64 {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let query = Query::parse(query).unwrap_or_default();
    let offset = query.value("offset").ok().flatten();
    offset
        .and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

/// The target with another `offset`.
fn at_offset(target: &str, offset: u64) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_offset = |pair: &str| {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        percent_decode_str(key).eq(b"offset".iter().copied())
    };
    let others = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !is_offset(pair));
    let mut pairs: Vec<_> = others.map(str::to_owned).collect();
    pairs.push(format!("offset={offset}"));
    format!("{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_media_outlives_its_connection() {
        for (target, kind) in [
            ("/ipc.flv?action=live&channel=1", Some(Kind::Live)),
            ("/ipc.flv?channel=1&action=LIVE", Some(Kind::Live)),
            ("/ipc.flv?type=Live", Some(Kind::Live)),
            (
                "/ipc.flv?action=playback&start_time=1",
                Some(Kind::Playback),
            ),
            ("/ipc.flv?action=download&file_name=a", Some(Kind::Download)),
            ("/ipc.flv?action=fly", None),
            ("/ipc.flv", None),
            ("/command?action=live", None),
        ] {
            assert_eq!(Kind::of(target), kind, "{target}");
        }
    }

    #[test]
    fn a_device_is_asked_again_at_its_pace_and_not_for_ever() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let next = |answered, came, now| {
            let (answered, came) = (at(answered), at(came));
            let next = Progress { answered, came }.next(at(now));
            next.map(|next| next.duration_since(start).as_millis())
        };
        for (answered, came, now, then) in [
            // A stream that ran for a while is asked for at once, also after it stood still for long.
            (0, 9_000, 9_100, Some(9_100)),
            (0, 9_000, 500_000, Some(500_000)),
            // One that broke off soon is not, whether something came or nothing.
            (9_000, 9_010, 9_020, Some(9_500)),
            (9_000, 8_000, 9_000, Some(9_500)),
            // Answers with nothing in them do not prolong it.
            (127_999, 8_000, 127_999, Some(128_499)),
            (128_000, 8_000, 128_000, None),
        ] {
            assert_eq!(next(answered, came, now), then, "{answered} {came} {now}");
        }
    }

    #[test]
    fn a_download_goes_on_where_it_stopped() {
        let target = "/ipc.flv?action=download&offset=100&file_name=a%20b";
        assert_eq!(offset(target), 100);
        assert_eq!(
            at_offset(target, 150),
            "/ipc.flv?action=download&file_name=a%20b&offset=150"
        );
        assert_eq!(offset("/ipc.flv?action=download"), 0);
        assert_eq!(at_offset("/x?a=1", 7), "/x?a=1&offset=7");
        assert_eq!(offset("/x?%6Fffset=5"), 5);
        assert_eq!(at_offset("/x?%6Fffset=5&a=1", 7), "/x?a=1&offset=7");
    }
}
