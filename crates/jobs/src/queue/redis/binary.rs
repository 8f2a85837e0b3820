//! Reads the binary forms that the scripts write: the heads of jobs, and the records of agents and
//! connections. docs/protocol.md shows their places; `prelude.lua` and `writing.lua` read and write
//! them.

use std::collections::BTreeMap;

use mission_core::Kind;
use uuid::Uuid;

/// The length of an id as text.
const ID_LENGTH: usize = 36;
/// The length of the numbers of a head.
const FIXED: usize = 41;

/// The part of a job's head that a worker needs.
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
        let number = |at: usize, length: usize| Some(number(bytes.get(at..at + length)?));
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

/// The record of an agent. `queue/redis/keys.rs` lists its fields.
#[derive(Debug, Clone, Default)]
pub(crate) struct AgentRecord {
    /// The number of the newest job whose document was merged into the record.
    pub(crate) seq: u64,
    /// The phase; none while the agent is wanted.
    pub(crate) phase: Option<Phase>,
    /// The number that the producer gave to the newest document.
    pub(crate) generation: Option<u64>,
    /// The `seq` that a run has proven on the gateway.
    pub(crate) observed: Option<u64>,
    /// The job of the newest document.
    pub(crate) job: Option<Uuid>,
    /// The jobs whose documents have the desired state and the token.
    pub(crate) desired: Option<Uuid>,
    pub(crate) token: Option<Uuid>,
    /// The jobs that asked for what a run still has to do once.
    pub(crate) force_bootstrap: Option<Uuid>,
    pub(crate) reset_session: Option<Uuid>,
    pub(crate) wake: Option<Uuid>,
    pub(crate) provision: Option<Uuid>,
}

/// The phase of an agent that a cleanup is to remove or has removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A cleanup is owed.
    Deleting,
    /// The agent is gone.
    Deleted,
}

impl AgentRecord {
    /// Reads a record. Returns none if there is none, or if it cannot be read.
    pub(crate) fn read(packed: &[u8]) -> Option<Self> {
        let (numbers, parts) = packed.split_at_checked(27)?;
        let mut record = Self {
            seq: number(&numbers[..6]),
            generation: number(&numbers[6..14]).checked_sub(1),
            observed: Some(number(&numbers[14..20])).filter(|seq| *seq > 0),
            phase: match numbers[20] {
                0 => None,
                1 | 3 => Some(Phase::Deleting),
                2 => Some(Phase::Deleted),
                _ => return None,
            },
            ..Self::default()
        };
        for part in parts.chunks(1 + ID_LENGTH) {
            let id = Uuid::try_parse_ascii(&part[1..]).ok()?;
            let place = match part[0] {
                b'j' => &mut record.job,
                b'd' => &mut record.desired,
                b't' => &mut record.token,
                b'f' => &mut record.force_bootstrap,
                b'p' => &mut record.provision,
                b'r' => &mut record.reset_session,
                b'w' => &mut record.wake,
                _ => return None,
            };
            *place = Some(id);
        }
        Some(record)
    }

    /// Returns what a run still has to do once, by letter, with the jobs that asked for it.
    pub(crate) fn owed(&self) -> BTreeMap<char, Uuid> {
        let all = [
            ('f', self.force_bootstrap),
            ('r', self.reset_session),
            ('w', self.wake),
            ('p', self.provision),
        ];
        all.into_iter().filter_map(|(letter, id)| Some((letter, id?))).collect()
    }

    /// Returns the job whose wake is owed.
    pub(crate) const fn wake(&self) -> Option<Uuid> {
        self.wake
    }

    /// Returns the jobs whose documents a run reads.
    pub(crate) fn documents(&self) -> impl Iterator<Item = Uuid> {
        [self.desired, self.token, self.wake].into_iter().flatten()
    }
}

/// The record of a gateway's connection.
#[derive(Debug)]
pub(crate) struct ConnectionRecord {
    pub(crate) document: Uuid,
    pub(crate) revision: Option<u64>,
    /// The time when it came, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// The subject of the job that it came with, or one that is no agent's.
    pub(crate) subject: String,
}

impl ConnectionRecord {
    /// Reads a record. Returns none if it cannot be read.
    pub(crate) fn read(packed: &[u8]) -> Option<Self> {
        let (numbers, rest) = packed.split_at_checked(26)?;
        let (document, rest) = rest.split_at_checked(ID_LENGTH)?;
        let (_fingerprint, subject) = str::from_utf8(rest).ok()?.split_once('|')?;
        Some(Self {
            document: Uuid::try_parse_ascii(document).ok()?,
            revision: number(&numbers[6..14]).checked_sub(1),
            at_ms: number(&numbers[14..20]),
            subject: subject.to_owned(),
        })
    }
}

/// Reads a whole number, whose least byte comes first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
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
