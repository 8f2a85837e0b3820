//! The headers of WebSocket frames.

/// The header of a WebSocket frame.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) bytes: [u8; Self::MAX],
    pub(super) size: usize,
    pub(super) length: usize,
}

impl Header {
    pub(super) const MAX: usize = 14;

    /// Returns the size of a header from its first two bytes; 2 until both have arrived.
    pub(super) const fn size(bytes: [u8; Self::MAX], have: usize) -> usize {
        if have < 2 {
            return 2;
        }
        let length = match bytes[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if bytes[1] & 0x80 == 0 { 0 } else { 4 }
    }

    pub(super) fn read(bytes: [u8; Self::MAX]) -> Self {
        let number =
            |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let length = match bytes[1] & 0x7f {
            126 => number(&bytes[2..4]),
            127 => number(&bytes[2..10]),
            short => u64::from(short),
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Self { bytes, size: Self::size(bytes, 2), length }
    }

    pub(super) const fn is_final(&self) -> bool {
        self.bytes[0] & 0x80 != 0
    }

    pub(super) const fn is_control(&self) -> bool {
        self.bytes[0] & 0x08 != 0
    }

    pub(super) const fn is_ping(&self) -> bool {
        self.bytes[0] & 0x0f == 0x09
    }
}
