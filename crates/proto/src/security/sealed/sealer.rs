use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{DirectionKeys, HEADER, Head, Kind, MAX_RECORD, OVERHEAD};

/// Seals one body, record by record.
pub struct Sealer {
    keys: DirectionKeys,
    sequence: u64,
}

impl Sealer {
    /// Seals the body that goes in the direction of these keys.
    pub fn new(keys: DirectionKeys) -> Self {
        Self { keys, sequence: 0 }
    }

    /// The head record; an answer begins with one.
    pub fn head(&mut self, head: &Head) -> Bytes {
        let text = head.encode();
        self.seal(Kind::Head, &mut text.as_bytes(), usize::MAX)
    }

    /// Seals at most `limit` bytes of `plain`, in as many records as that takes. The bytes are
    /// copied once, into the buffer in which they are encrypted.
    pub fn data(&mut self, plain: &mut impl Buf, limit: usize) -> Bytes {
        self.seal(Kind::Data, plain, limit)
    }

    /// Seals the rest of the body; it ends there.
    pub fn last(mut self, plain: &mut impl Buf) -> Bytes {
        self.seal(Kind::Last, plain, usize::MAX)
    }

    /// The last of the records is of `kind`, those before it are data. An empty last record is a
    /// record, empty data is none.
    fn seal(&mut self, kind: Kind, plain: &mut impl Buf, limit: usize) -> Bytes {
        let mut left = plain.remaining().min(limit);
        let records = left
            .div_ceil(MAX_RECORD)
            .max(usize::from(kind != Kind::Data));
        let mut out = BytesMut::with_capacity(left + records * OVERHEAD);
        for index in 1..=records {
            let length = left.min(MAX_RECORD);
            left -= length;
            let kind = if index == records { kind } else { Kind::Data };
            self.record(kind, plain, length, &mut out);
        }
        out.freeze()
    }

    fn record(&mut self, kind: Kind, plain: &mut impl Buf, length: usize, out: &mut BytesMut) {
        let start = out.len();
        out.put_u32(u32::from(kind as u8) << 24 | length as u32);
        out.put(plain.take(length));
        self.keys.apply(self.sequence, &mut out[start + HEADER..]);
        let tag = self.keys.tag(self.sequence, &out[start..]);
        out.put_slice(&tag);
        self.sequence += 1;
    }
}
