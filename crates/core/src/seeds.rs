//! The texts that gateways themselves write into a new workspace.
//!
//! A document that belongs to the agent is written once and never again. But a gateway that creates
//! a workspace writes a USER.md of its own, which tells the agent nothing and may be replaced. Only
//! the text itself identifies it: in a workspace restored from a backup, all files have the same
//! time, including those that a person has edited.

use std::collections::BTreeSet;
use std::str::FromStr;

use hex::FromHex;
use sha2::{Digest, Sha256};

use crate::documents::Document;

/// The SHA-256 of each USER.md that gateways from 2026.2.9 to 2026.9.6 write. They write no other
/// document that belongs to the agent.
const KNOWN: [&str; 4] = [
    "178a5807bd2e6ace25b80a366f0f7d8d3f354a47f577c4ab0092397456b8738f",
    "e418ca9a680553b3ad8f54aecb0d403330810bb77826ab5251cc1dc13368fe16",
    "5f8e1a04861b95b659a907e3ad9ae449c45713246d2168a26ec92c8f1e89ff40",
    "46e0d8c937df7b104de97a23c58537292672654194879ca9f76b02075e022555",
];

/// Texts that gateways write, identified by their SHA-256.
#[derive(Debug, Clone)]
pub struct Seeds(BTreeSet<[u8; 32]>);

impl Default for Seeds {
    fn default() -> Self {
        Self(KNOWN.map(|known| FromHex::from_hex(known).expect("a digest")).into())
    }
}

impl Seeds {
    /// Returns these texts together with others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Returns whether a document of the agent still contains the gateway's own text.
    #[must_use]
    pub fn has(&self, document: Document, text: &str) -> bool {
        document == Document::User && self.0.contains(&Sha256::digest(text)[..])
    }
}

/// The error for a text that is not a list of digests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a SHA-256 of 64 hex digits")]
pub struct NotADigest(String);

impl FromStr for Seeds {
    type Err = NotADigest;

    /// Parses comma-separated digests; an empty text gives none.
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let digests = text.split(',').map(str::trim).filter(|digest| !digest.is_empty());
        let read = |digest: &str| {
            FromHex::from_hex(digest).map_err(|_| NotADigest(digest.chars().take(80).collect()))
        };
        digests.map(read).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256_hex;

    #[test]
    fn a_text_is_a_gateways_own_if_its_digest_is_known() {
        let more: Seeds =
            format!(" {},", sha256_hex("theirs").to_uppercase()).parse().expect("a digest");
        let seeds = Seeds::default().and(more);
        assert!(seeds.has(Document::User, "theirs") && !seeds.has(Document::User, "theirs\n"));
        assert!(!seeds.has(Document::Memory, "theirs"), "gateways write no such file");
        assert!("".parse::<Seeds>().is_ok());
        for bad in ["x", &"g".repeat(64), &"0".repeat(63)] {
            assert_eq!(bad.parse::<Seeds>().expect_err("no digest"), NotADigest(bad.to_owned()));
        }
    }
}
