//! Certificate fingerprints, by which a gateway's certificate can be pinned.

use std::fmt;
use std::str::FromStr;

use hex::FromHex;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

/// The SHA-256 hash of a certificate in DER form. It is written as `sha256:` and 64 hex digits,
/// with or without colons between the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Computes the fingerprint of a certificate in DER form.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

/// The error for a text that is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a fingerprint, expected `sha256:` and 64 hex digits, with or without colons between bytes"
)]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let digits = text.strip_prefix("sha256:").ok_or(NotAFingerprint)?;
        let pairs = digits.split(':');
        let bytes = if pairs.clone().all(|pair| pair.len() == 2) {
            FromHex::from_hex(pairs.collect::<String>())
        } else {
            FromHex::from_hex(digits)
        };
        bytes.map(Self).map_err(|_| NotAFingerprint)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256")?;
        self.0.iter().try_for_each(|byte| write!(f, ":{byte:02X}"))
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_one_is_written() {
        let fingerprint = Fingerprint::of(b"");
        let shown = fingerprint.to_string();
        assert!(
            shown.starts_with("sha256:E3:B0:C4:42:98:FC:") && shown.ends_with(":B8:55"),
            "{shown}"
        );
        let plain = shown["sha256:".len()..].replace(':', "").to_lowercase();
        for text in
            [shown.clone(), format!("sha256:{plain}"), format!("sha256:{}", plain.to_uppercase())]
        {
            assert_eq!(text.parse(), Ok(fingerprint), "{text}");
        }
        let wrong = [
            String::new(),
            plain.clone(),
            format!("sha1:{plain}"),
            format!("sha256:{plain}00"),
            format!("sha256:{}", &plain[1..]),
            format!("sha256:+{}", &plain[1..]),
            format!("sha256:é{}", &plain[2..]),
            shown.replacen(":B0:", "-B0:", 1),
            shown.replacen("E3:B0:", "E3B0::", 1),
            shown.to_uppercase(),
        ];
        for text in wrong {
            assert_eq!(text.parse::<Fingerprint>(), Err(NotAFingerprint), "{text}");
        }
    }
}
