//! Tokens of callers. The settings hold their SHA-256; the token itself is shown once, when it is
//! made.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hex::FromHex as _;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::permissions::Role;

/// The number of random bytes in a token.
const BYTES: usize = 32;
/// The greatest length of a holder's name.
const MAX_NAME: usize = 64;

/// The entry of a token that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The name of the holder, which the audit shows.
    pub name: String,
    /// The role of the holder.
    pub role: Role,
    /// The SHA-256 of the token.
    pub hash: [u8; 32],
}

impl Token {
    /// Makes the entry of a token. Fails if the name cannot be used.
    pub fn of(name: &str, role: Role, secret: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(format!(
                "the name {name:?} is not valid; use at most {MAX_NAME} letters, digits, - _ . @"
            ));
        }
        Ok(Self { name: name.to_owned(), role, hash: hash(secret) })
    }

    /// Compares a secret with the token, in constant time.
    pub(crate) fn is(&self, secret: &str) -> bool {
        self.hash.ct_eq(&hash(secret)).into()
    }

    /// Returns the entry as it stands in `http.tokens`.
    #[must_use]
    pub fn entry(&self) -> String {
        format!("{}:{}:{}", self.name, self.role, hex::encode(self.hash))
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(entry: &str) -> Result<Self, String> {
        let parts: Vec<&str> = entry.split(':').collect();
        let [name, role, hash] = parts[..] else {
            return Err("an entry is NAME:ROLE:SHA256; `worker token NAME --role ROLE` makes one"
                .to_owned());
        };
        let hash = <[u8; 32]>::from_hex(hash)
            .map_err(|_| "the SHA-256 of a token has 64 hex digits; `worker token` prints it")?;
        Ok(Self { hash, ..Self::of(name, role.parse()?, "")? })
    }
}

/// Parses `http.tokens`: entries with white space or commas between them.
pub fn read(text: &str) -> Result<Vec<Token>, String> {
    // An entry may be a token by mistake, so the error gives its number and not its text.
    entries(text)
        .enumerate()
        .map(|(at, entry)| entry.parse().map_err(|error| format!("entry {}: {error}", at + 1)))
        .collect()
}

/// Splits a list of the settings at white space and commas.
pub(super) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c == ',').filter(|entry| !entry.is_empty())
}

/// Returns a new secret of 256 random bits.
#[must_use]
pub fn random() -> String {
    let bytes: [u8; BYTES] = rand::random();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the SHA-256 of a secret.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn an_entry_matches_its_token_only() {
        let secret = random();
        let token = Token::of("ci", Role::Operator, &secret).unwrap();
        let read = read(&format!(" {},\n{} ", token.entry(), token.entry())).unwrap();
        assert_eq!(read, [token.clone(), token]);
        assert!(read[0].is(&secret));
        assert!(!read[0].is(&random()) && !read[0].is(""));
        assert!(!read[0].entry().contains(&secret));
    }

    #[test]
    fn a_wrong_entry_is_named_by_its_number_and_not_shown() {
        let good = Token::of("ci", Role::Admin, "x").unwrap().entry();
        for wrong in ["hunter2", "ci:king:00", "ci:viewer:hunter2", ":viewer:00", "a/b:viewer:00"] {
            let error = read(&format!("{good} {wrong}")).unwrap_err();
            assert!(error.starts_with("entry 2: ") && !error.contains("hunter2"), "{error}");
        }
    }
}
