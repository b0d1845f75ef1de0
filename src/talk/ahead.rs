use std::collections::VecDeque;

use bytes::Bytes;
use peercam_proto::error::Error;

use super::Pieces;

/// A body that is read further than it sounds.
///
/// A sender that is killed leaves what the systems on the way still hold of it, and the end of that
/// tells it from one that has sent all and closed. So the end is looked for before it is due. Bound:
/// `most` bytes, and the piece that came last.
pub(super) struct Ahead<'a> {
    body: &'a mut dyn Pieces,
    most: usize,
    waiting: VecDeque<u8>,
    end: Option<Result<(), Error>>,
}

impl<'a> Ahead<'a> {
    /// Bytes that are given out at a time.
    const PIECE: usize = 16 << 10;

    pub(super) fn new(body: &'a mut dyn Pieces, most: usize) -> Self {
        Self {
            body,
            most,
            waiting: VecDeque::new(),
            end: None,
        }
    }

    /// Returns whether more is to be read now.
    pub(super) fn has_room(&self) -> bool {
        self.end.is_none() && self.waiting.len() < self.most
    }

    /// Reads a piece, or the end. Cancel-safe.
    pub(super) async fn read(&mut self) {
        match self.body.piece().await {
            Ok(Some(piece)) => {
                // Grown by steps, or small pieces would have all of it copied again and again; never
                // beyond what it may hold.
                let needed = self.waiting.len() + piece.len();
                if needed > self.waiting.capacity() {
                    let size = (2 * self.waiting.capacity()).min(self.most).max(needed);
                    self.waiting.reserve_exact(size - self.waiting.len());
                }
                self.waiting.extend(&piece[..]);
            }
            Ok(None) => self.end = Some(Ok(())),
            Err(error) => self.end = Some(Err(error)),
        }
    }

    /// The next piece, if it was read; nothing behind the last one.
    pub(super) fn take(&mut self) -> Option<Result<Option<Bytes>, Error>> {
        let (front, _) = self.waiting.as_slices();
        if front.is_empty() {
            return self.end.clone().map(|end| end.map(|()| None));
        }
        let piece = Bytes::copy_from_slice(&front[..front.len().min(Self::PIECE)]);
        self.waiting.drain(..piece.len());
        Some(Ok(Some(piece)))
    }

    /// Returns whether the body broke off, as far as it was read.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self.end, Some(Err(_)))
    }
}

#[cfg(test)]
mod tests {
    use peercam_hal::BoxFuture;

    use super::*;

    /// A body of so many pieces of 1000 bytes, and how it ends.
    struct Body(usize, Result<(), Error>);

    impl Pieces for Body {
        fn piece(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Error>> {
            let number = self.0;
            self.0 = number.saturating_sub(1);
            let end = self.1.clone();
            Box::pin(async move {
                match number {
                    0 => end.map(|()| None),
                    number => Ok(Some(vec![number as u8; 1000].into())),
                }
            })
        }
    }

    #[tokio::test]
    async fn a_body_comes_out_as_it_went_in_and_only_so_much_waits() {
        for end in [Ok(()), Err(Error::bad_request("it broke off"))] {
            let mut body = Body(100, end.clone());
            let expected: Vec<_> = (1..=100_u8).rev().flat_map(|byte| [byte; 1000]).collect();
            let mut ahead = Ahead::new(&mut body, 40_000);
            let mut came = Vec::new();
            let last = loop {
                while ahead.has_room() {
                    ahead.read().await;
                }
                assert!(ahead.waiting.len() <= 41_000);
                match ahead.take().expect("it was read") {
                    Ok(Some(piece)) => came.extend_from_slice(&piece),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            assert_eq!((came, last), (expected, end.clone()));
            assert_eq!(ahead.is_broken(), end.is_err());
        }
    }

    #[tokio::test]
    async fn the_end_is_known_before_it_is_due() {
        let mut body = Body(3, Err(Error::bad_request("it broke off")));
        let mut ahead = Ahead::new(&mut body, 40_000);
        assert!(ahead.take().is_none());
        for _ in 0..4 {
            assert!(ahead.has_room() && !ahead.is_broken());
            ahead.read().await;
        }
        assert!(!ahead.has_room() && ahead.is_broken());
        assert!(matches!(ahead.take(), Some(Ok(Some(piece))) if piece.len() == 3000));
    }
}
