use std::{
    error::Error as StdError,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use peercam_proto::sealed::Sealer;

use super::RequestError;
use crate::upload::Upload;

/// A target with its token.
pub(crate) fn with_token(target: &str, token: &str) -> String {
    match target.split_once('?') {
        None => format!("{target}?_token={token}"),
        Some((path, rest)) => format!("{path}?_token={token}&{rest}"),
    }
}

/// A request with its target as it stands.
pub(crate) fn ask<B>(method: &str, target: &str, body: B) -> Result<Request<B>, RequestError> {
    Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "ipc.p2p.com")
        .body(body)
        .map_err(|_| RequestError::BadTarget("it holds characters that must be percent-encoded"))
}

/// A body in records.
pub(super) fn sealed(body: Upload, sealer: Sealer) -> Upload {
    Sealed {
        body,
        sealer: Some(sealer),
    }
    .boxed_unsync()
}

struct Sealed {
    body: Upload,
    /// `None` behind the last record.
    sealer: Option<Sealer>,
}

impl Body for Sealed {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        loop {
            let Some(sealer) = &mut this.sealer else {
                return Poll::Ready(None);
            };
            let records = match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(mut piece) => sealer.data(&mut piece, usize::MAX),
                    Err(_) => continue,
                },
                Poll::Ready(None) => {
                    let last = this.sealer.take();
                    last.map(|sealer| sealer.last(&mut Bytes::new()))
                        .unwrap_or_default()
                }
            };
            if !records.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(records))));
            }
        }
    }
}
