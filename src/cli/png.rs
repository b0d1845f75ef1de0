//! PNG of one bit for each pixel, uncompressed: enough for a QR code, and no dependency.
//!
//! ISO/IEC 15948 (PNG), RFC 1950 (zlib), RFC 1951 (stored blocks).

/// Pixels of a module's side: as many as a byte has, so that a module is a byte of its row.
const SCALE: u32 = 8;
/// The longest stored block of DEFLATE, in bytes.
const MAX_BLOCK: usize = 0xffff;

/// A square image of modules, `side` in a row; each is dark or not.
pub(super) fn encode(side: u32, is_dark: impl Fn(u32, u32) -> bool) -> Vec<u8> {
    let size = (side * SCALE).to_be_bytes();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    // Bit depth 1, grayscale; the only compression, the only filters, not interlaced.
    let header = [&size[..], &size, &[1, 0, 0, 0, 0]].concat();
    chunk(&mut png, b"IHDR", &header);
    let mut rows = Vec::new();
    for y in 0..side {
        // Not filtered.
        let mut row = vec![0];
        row.extend((0..side).map(|x| if is_dark(x, y) { 0 } else { 0xff }));
        rows.extend(row.repeat(SCALE as usize));
    }
    chunk(&mut png, b"IDAT", &zlib(&rows));
    chunk(&mut png, b"IEND", &[]);
    png
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).expect("an image of a QR code is small");
    let body = [kind, data].concat();
    png.extend(length.to_be_bytes());
    png.extend(&body);
    png.extend(crc32(&body).to_be_bytes());
}

/// A zlib stream of stored blocks.
fn zlib(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = data.chunks(MAX_BLOCK).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("a chunk is not longer");
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler32(data).to_be_bytes());
    stream
}

fn crc32(data: &[u8]) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    let byte = |crc, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), bit);
    !data.iter().fold(!0, byte)
}

fn adler32(data: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (low, high) = data.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % MODULUS;
        (low, (high + low) % MODULUS)
    });
    (high << 16) | low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_others() {
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
        assert_eq!(adler32(b""), 1);
    }

    #[test]
    fn a_long_stream_has_several_blocks_and_the_last_says_so() {
        let data = vec![7; MAX_BLOCK + 1];
        let stream = zlib(&data);
        assert_eq!(stream[2..7], [0, 0xff, 0xff, 0, 0]);
        assert_eq!(stream[7 + MAX_BLOCK..][..6], [1, 1, 0, 0xfe, 0xff, 7]);
        assert_eq!(stream.len(), 2 + 5 + MAX_BLOCK + 5 + 1 + 4);
    }
}
