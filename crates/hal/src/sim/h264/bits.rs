/// Writes bits, most significant first, and Exp-Golomb codes (9.1).
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    pending_bits: u32,
}

impl BitWriter {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            pending: 0,
            pending_bits: 0,
        }
    }

    /// The low `count` bits of `value`; at most 32.
    pub(super) fn put(&mut self, value: u32, count: u32) {
        let mask = (1_u64 << count) - 1;
        self.pending = self.pending << count | u64::from(value) & mask;
        self.pending_bits += count;
        while self.pending_bits >= 8 {
            self.pending_bits -= 8;
            self.bytes.push((self.pending >> self.pending_bits) as u8);
        }
    }

    /// ue(v)
    pub(super) fn ue(&mut self, value: u32) {
        let code = value + 1;
        let length = 32 - code.leading_zeros();
        self.put(0, length - 1);
        self.put(code, length);
    }

    /// se(v)
    pub(super) fn se(&mut self, value: i32) {
        let mapped = if value > 0 { 2 * value - 1 } else { -2 * value };
        self.ue(mapped.unsigned_abs());
    }

    /// Ends with rbsp_trailing_bits.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.put(1, 1);
        if self.pending_bits > 0 {
            self.put(0, 8 - self.pending_bits);
        }
        self.bytes
    }
}
