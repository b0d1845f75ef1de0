use bytes::{Buf, BytesMut};

use super::{DirectionKeys, HEADER, Head, Kind, MAX_RECORD, TAG};

/// A record that was opened.
#[derive(Debug, PartialEq, Eq)]
pub enum Record {
    /// Status and headers.
    Head(Head),
    /// A piece of the body.
    Data(BytesMut),
    /// The last piece of the body, maybe empty.
    Last(BytesMut),
}

/// The body was changed, cut off or never sealed with these keys: one error for everything, and
/// nothing more comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed body is damaged, cut off, or not from the other end")]
pub struct Broken;

/// Opens one sealed body. Bytes go in as they come; records come out decrypted in place.
///
/// Bound: it holds what was fed and not taken yet; whoever feeds it takes all records before
/// feeding more, and then it is less than one record.
pub struct Opener {
    keys: DirectionKeys,
    sequence: u64,
    buffer: BytesMut,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The head is next.
    Head,
    /// Pieces of the body are next.
    Body,
    /// The last piece was taken.
    Ended,
    /// Something was wrong.
    Broken,
}

impl Opener {
    /// Opens the body of a request.
    pub fn request(keys: DirectionKeys) -> Self {
        Self::new(keys, State::Body)
    }

    /// Opens an answer: its head, then its body.
    pub fn response(keys: DirectionKeys) -> Self {
        Self::new(keys, State::Head)
    }

    fn new(keys: DirectionKeys, state: State) -> Self {
        Self {
            keys,
            sequence: 0,
            buffer: BytesMut::new(),
            state,
        }
    }

    /// Takes bytes off the wire.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.state != State::Broken {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next record; `None` if it has not come as a whole.
    ///
    /// # Errors
    /// [`Broken`], from then on.
    pub fn next_record(&mut self) -> Result<Option<Record>, Broken> {
        let record = self.open();
        if record.is_err() {
            self.state = State::Broken;
            self.buffer.clear();
        }
        record
    }

    /// Makes sure that the body had come to its end when its bytes did.
    ///
    /// # Errors
    /// [`Broken`] if it was cut off.
    pub fn finish(&mut self) -> Result<(), Broken> {
        match (self.next_record()?, self.state) {
            (None, State::Ended) => Ok(()),
            _ => Err(Broken),
        }
    }

    fn open(&mut self) -> Result<Option<Record>, Broken> {
        match self.state {
            State::Broken => return Err(Broken),
            // Nothing may follow the last record.
            State::Ended if !self.buffer.is_empty() => return Err(Broken),
            State::Ended => return Ok(None),
            State::Head | State::Body => {}
        }
        let Some(header) = self.buffer.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = (u32::from_be_bytes(*header) & 0x00ff_ffff) as usize;
        let kind = Kind::of(header[0]).ok_or(Broken)?;
        // The header is not authenticated yet: all that it can do is to have this much waited for.
        if length > MAX_RECORD || (kind == Kind::Head) != (self.state == State::Head) {
            return Err(Broken);
        }
        let whole = HEADER + length + TAG;
        if self.buffer.len() < whole {
            self.buffer.reserve(whole - self.buffer.len());
            return Ok(None);
        }
        let mut record = self.buffer.split_to(whole);
        let tag = record.split_off(HEADER + length);
        if !self.keys.verifies(self.sequence, &record, &tag) {
            return Err(Broken);
        }
        record.advance(HEADER);
        self.keys.apply(self.sequence, &mut record);
        self.sequence += 1;
        Ok(Some(match kind {
            Kind::Head => {
                self.state = State::Body;
                Record::Head(Head::parse(&record).ok_or(Broken)?)
            }
            Kind::Data => Record::Data(record),
            Kind::Last => {
                self.state = State::Ended;
                Record::Last(record)
            }
        }))
    }
}
