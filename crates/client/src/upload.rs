//! Bodies that go up with a request.

use std::{
    error::Error as StdError,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use tokio::sync::mpsc;

/// Body of a request.
pub type Upload = UnsyncBoxBody<Bytes, Box<dyn StdError + Send + Sync>>;

/// An empty body.
pub(super) fn nothing() -> Upload {
    Empty::new().map_err(Into::into).boxed_unsync()
}

/// A body of bytes that are there.
pub(super) fn whole(bytes: Bytes) -> Upload {
    Full::new(bytes).map_err(Into::into).boxed_unsync()
}

/// A body of the pieces that come, until their sender is dropped.
pub fn stream(pieces: mpsc::Receiver<Bytes>) -> Upload {
    Stream(pieces).map_err(Into::into).boxed_unsync()
}

/// A body of unknown length as far as it comes: one that breaks off ends like another one. Its error
/// would take back what is on its way.
pub(super) fn as_far_as_it_comes<B>(body: B) -> Upload
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    AsFarAsItComes(body).map_err(Into::into).boxed_unsync()
}

struct AsFarAsItComes<B>(B);

impl<B: Body<Data = Bytes> + Unpin> Body for AsFarAsItComes<B> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.0).poll_frame(context);
        frame.map(|frame| frame?.ok().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

struct Stream(mpsc::Receiver<Bytes>);

impl Body for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    struct Breaks(VecDeque<Result<Bytes, &'static str>>);

    impl Body for Breaks {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.pop_front().map(|next| next.map(Frame::data)))
        }
    }

    #[tokio::test]
    async fn what_came_before_a_break_is_all_of_it() {
        let came = [Ok("a".into()), Ok("b".into()), Err("gone")];
        let body = as_far_as_it_comes(Breaks(came.into()));
        let all = body.collect().await.expect("no error").to_bytes();
        assert_eq!(all, "ab");
    }
}
