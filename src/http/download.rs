//! Files on their way to viewers, and the ranges of them that are asked for (RFC 9110 §14).
//!
//! Invariant: a body has no more bytes than its head promised, and one that got fewer breaks off
//! and never looks whole. Which files there are is the recordings' to say.

use std::{
    ops::Range,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use peercam_hal::{BoxFuture, HalError, RecordingFile};
use peercam_proto::{
    error::{Error, ErrorKind},
    media::Content,
};

use super::{body::Body, reply};
use crate::device::{FetchedFile, Permitted, StreamPermit};

/// Bytes that are read at a time. One block is on its way, and one is read ahead.
const BLOCK: usize = 128 << 10;

/// A file on its way to one viewer.
pub(super) struct DownloadBody {
    state: State,
    /// Bytes of the file that are still to be read.
    rest: Range<u64>,
    permit: StreamPermit,
}

type ReadBlock = BoxFuture<'static, (Box<dyn RecordingFile>, Result<Bytes, HalError>)>;

enum State {
    Idle(Box<dyn RecordingFile>),
    Reading(ReadBlock),
    Ended,
}

impl DownloadBody {
    /// The next bytes; `None` at the end. A file that cannot be read ends too early, which the
    /// viewer sees by the length that was promised.
    pub(super) fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Poll::Ready(reason) = self.permit.poll_ended(context) {
            tracing::info!(reason, "a file is not fetched to its end");
            self.state = State::Ended;
        }
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Idle(_) if self.rest.is_empty() => return Poll::Ready(None),
                State::Idle(file) => self.state = State::Reading(read(file, self.rest.clone())),
                State::Reading(mut reading) => {
                    let Poll::Ready((file, bytes)) = reading.as_mut().poll(context) else {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    return Poll::Ready(self.take(file, bytes));
                }
            }
        }
    }

    fn take(
        &mut self,
        file: Box<dyn RecordingFile>,
        bytes: Result<Bytes, HalError>,
    ) -> Option<Bytes> {
        match bytes {
            Ok(bytes) if !bytes.is_empty() => {
                self.rest.start += bytes.len() as u64;
                self.state = State::Idle(file);
                Some(bytes)
            }
            Ok(_) => {
                tracing::warn!("a file that is being fetched became shorter");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "a file that is being fetched cannot be read");
                None
            }
        }
    }

    /// Its place.
    pub(super) fn permit(&self) -> &StreamPermit {
        &self.permit
    }

    /// Returns whether it ended too early.
    pub(super) fn is_cut_off(&self) -> bool {
        matches!(self.state, State::Ended) && !self.rest.is_empty()
    }

    /// Bytes that are still to come.
    pub(super) fn remaining(&self) -> u64 {
        self.rest.end - self.rest.start
    }
}

fn read(mut file: Box<dyn RecordingFile>, rest: Range<u64>) -> ReadBlock {
    Box::pin(async move {
        let most = usize::try_from(rest.end - rest.start).unwrap_or(usize::MAX);
        let bytes = file.read(rest.start, BLOCK).await;
        // A file that has grown meanwhile is sent as long as its head says.
        let bytes = bytes.map(|bytes| bytes.slice(..bytes.len().min(most)));
        (file, bytes)
    })
}

/// Answers with a file from `offset` on, or with the range of it that the headers ask for. HEAD is
/// answered with the head alone.
pub(super) fn respond(
    fetched: Permitted<FetchedFile>,
    offset: u64,
    headers: &HeaderMap,
    is_head: bool,
) -> Result<Response<Body>, Error> {
    let Permitted { media, permit } = fetched;
    let FetchedFile { file, content } = media;
    let content_type = match content {
        Content::Video => "video/mp4",
        Content::Snapshot => "image/jpeg",
    };
    let (size, tag) = (file.size(), format!("\"{}\"", file.tag()));
    // `offset` resumes in the way of stock apps; a range beside it would mean two beginnings.
    let wanted = match asked_range(headers, &tag).filter(|_| offset == 0) {
        Some(range) => Some(range.of(size)?),
        None => None,
    };
    if offset > size {
        return Err(Error::new(
            ErrorKind::BadRange,
            format!("the file has {size} bytes, and {offset} is behind them"),
        ));
    }
    let rest = wanted.clone().unwrap_or(offset..size);
    let length = HeaderValue::from(rest.end - rest.start);
    let status = match &wanted {
        Some(_) => StatusCode::PARTIAL_CONTENT,
        None => StatusCode::OK,
    };
    let body = if is_head {
        Body::whole(Bytes::new())
    } else {
        Body::download(DownloadBody {
            state: State::Idle(file),
            rest: rest.clone(),
            permit,
        })
    };
    let mut response = reply::with_type(status, content_type, body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let texts = [
        (header::ETAG, Some(tag)),
        (
            header::CONTENT_RANGE,
            wanted.map(|range| format!("bytes {}-{}/{size}", range.start, range.end.max(1) - 1)),
        ),
    ];
    for (name, text) in texts {
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

/// A range as it is asked for (RFC 9110 §14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    From(u64, Option<u64>),
    Last(u64),
}

/// The one range that is asked for. Several, and text that cannot be read, are answered with the
/// whole, as a server may (RFC 9110 §14.2).
fn asked_range(headers: &HeaderMap, tag: &str) -> Option<Asked> {
    // A date, or a weak tag, is never equal to a strong one: the whole file is right in any case
    // (RFC 9110 §13.1.5).
    if let Some(condition) = headers.get(header::IF_RANGE)
        && condition.as_bytes() != tag.as_bytes()
    {
        return None;
    }
    let text = headers.get(header::RANGE)?.to_str().ok()?;
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    match (first, last) {
        ("", last) => last.parse().ok().map(Asked::Last),
        (first, "") => first.parse().ok().map(|first| Asked::From(first, None)),
        (first, last) => {
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last).then_some(Asked::From(first, Some(last)))
        }
    }
}

impl Asked {
    fn of(self, size: u64) -> Result<Range<u64>, Error> {
        let range = match self {
            Self::From(first, last) => {
                first..last.map_or(size, |last| last.saturating_add(1).min(size))
            }
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        if range.is_empty() {
            return Err(Error::new(
                ErrorKind::BadRange,
                format!("the file has {size} bytes, and nothing of them is in this range"),
            ));
        }
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range = |text: &'static str, size| {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(text))]);
            asked_range(&headers, "\"t\"").map(|asked| asked.of(size).ok())
        };
        for (text, expected) in [
            ("bytes=0-", Some(Some(0..10))),
            ("bytes=3-", Some(Some(3..10))),
            ("bytes=3-4", Some(Some(3..5))),
            ("bytes=3-99", Some(Some(3..10))),
            ("bytes=-4", Some(Some(6..10))),
            ("bytes=-99", Some(Some(0..10))),
            ("bytes=10-", Some(None)),
            ("bytes=-0", Some(None)),
            ("bytes=0-18446744073709551615", Some(Some(0..10))),
            ("bytes=4-3", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
            ("bytes=x-", None),
        ] {
            assert_eq!(range(text, 10), expected, "{text}");
        }
        assert_eq!(range("bytes=0-", 0), Some(None));
    }

    #[test]
    fn a_range_of_another_version_is_the_whole() {
        let with = |tag: &'static str| {
            let headers = HeaderMap::from_iter([
                (header::RANGE, HeaderValue::from_static("bytes=1-")),
                (header::IF_RANGE, HeaderValue::from_static(tag)),
            ]);
            asked_range(&headers, "\"t\"")
        };
        assert_eq!(with("\"t\""), Some(Asked::From(1, None)));
        assert_eq!(with("\"u\""), None);
    }
}
