//! The head of a job, as the scripts write it: numbers at fixed places, then texts.
//! docs/protocol.md shows it, and `prelude.lua` reads and writes it.

use mission_core::Kind;

/// The length of the numbers of a head.
const FIXED: usize = 41;

/// What a worker needs of a job's head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) token: u64,
    /// The version of the envelope; 0 for 1, and for one that does not fit here.
    pub(crate) version: u8,
    pub(crate) attempts: u32,
    pub(crate) runs: u32,
    /// None if the kind is of another version.
    pub(crate) kind: Option<Kind>,
    pub(crate) max_attempts: u32,
    pub(crate) seq: u64,
    pub(crate) enqueued_at_ms: u64,
    pub(crate) lane: String,
}

impl Head {
    /// Reads a head. Returns none if it does not have the form of one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize, length: usize| {
            let bytes = bytes.get(at..at + length)?;
            Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        };
        let small = |at, length| u32::try_from(number(at, length)?).ok();
        let length = usize::from(*bytes.get(26)?);
        let lane = bytes.get(FIXED..FIXED + length)?;
        let kind = usize::from(*bytes.get(24)?).checked_sub(1);
        Some(Self {
            token: number(0, 6)?,
            version: *bytes.get(7)? >> 4,
            attempts: small(8, 2)?,
            runs: small(10, 2)?,
            kind: kind.and_then(|place| Kind::ALL.get(place).copied()),
            max_attempts: small(27, 2)?,
            seq: number(29, 6)?,
            enqueued_at_ms: number(35, 6)?,
            lane: String::from_utf8(lane.to_vec()).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_by_its_places() {
        let mut bytes = vec![1, 0, 0, 0, 0, 2, 3, 0x24, 4, 0, 5, 1];
        bytes.extend([9; 12]);
        bytes.extend([2, 5, 4, 12, 0, 7, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0, 0]);
        assert_eq!(bytes.len(), FIXED);
        assert_eq!(Head::read(&bytes), None, "the lane is missing");
        bytes.extend(b"lane/agent|worker");
        let head = Head {
            token: 2 << 40 | 1,
            version: 2,
            attempts: 4,
            runs: 261,
            kind: Some(Kind::ALL[1]),
            max_attempts: 12,
            seq: 7,
            enqueued_at_ms: 264,
            lane: "lane".to_owned(),
        };
        assert_eq!(Head::read(&bytes), Some(head));
        assert_eq!(Head::read(&bytes[..20]), None);
    }
}
