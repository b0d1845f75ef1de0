use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use hyper::body::Incoming;
use peercam_proto::sealed::{Head, Opener, Record};

use super::RequestError;

/// The body of an answer, opened record by record. One that was cut off or changed ends with
/// [`RequestError::Broken`]; what came before is authentic.
pub struct Body {
    incoming: Incoming,
    opener: Box<Opener>,
    has_ended: bool,
}

impl Body {
    pub(super) fn new(incoming: Incoming, opener: Opener) -> Self {
        Self {
            incoming,
            opener: Box::new(opener),
            has_ended: false,
        }
    }

    /// Waits for the first record, which is the head.
    pub(super) async fn head(&mut self) -> Result<Head, RequestError> {
        match poll_fn(|context| self.poll_record(context)).await? {
            Some(Record::Head(head)) => Ok(head),
            _ => Err(RequestError::Broken),
        }
    }

    /// The next record; `None` behind the last one.
    fn poll_record(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Record>, RequestError>> {
        loop {
            let record = self.opener.next_record();
            let record = record.map_err(|_| RequestError::Broken)?;
            if record.is_some() || self.has_ended {
                return Poll::Ready(Ok(record));
            }
            match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
                Some(frame) => {
                    let data = frame.map_err(|_| RequestError::Broken)?.into_data();
                    self.opener.feed(&data.unwrap_or_default());
                }
                None => {
                    self.has_ended = true;
                    self.opener.finish().map_err(|_| RequestError::Broken)?;
                }
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = RequestError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestError>>> {
        Poll::Ready(match ready!(self.poll_record(context)) {
            Ok(Some(Record::Data(data) | Record::Last(data))) => {
                Some(Ok(Frame::data(data.freeze())))
            }
            Ok(Some(Record::Head(_))) => Some(Err(RequestError::Broken)),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })
    }
}
