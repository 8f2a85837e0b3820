//! Tokens that let somebody in. The settings hold their SHA-256; a token itself is shown once, when
//! it is made.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::permissions::Role;

/// Bytes of randomness in a token.
const BYTES: usize = 32;
/// Longest name of a token's holder.
const MAX_NAME: usize = 64;

/// A token that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is, as the audit shows.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// SHA-256 of it.
    pub hash: [u8; 32],
}

impl Token {
    /// The entry of a token.
    pub fn of(name: &str, role: Role, secret: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(format!(
                "the name {name:?} cannot be used; take letters, digits, - _ . @, at most \
                    {MAX_NAME}"
            ));
        }
        Ok(Self { name: name.to_owned(), role, hash: hash(secret) })
    }

    /// Whether this is it. Takes as long if it is not.
    pub fn is(&self, secret: &str) -> bool {
        self.hash.ct_eq(&hash(secret)).into()
    }

    /// The entry for `http.tokens`.
    pub fn entry(&self) -> String {
        format!("{}:{}:{}", self.name, self.role, hex(&self.hash))
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
        let hash = unhex(hash)
            .ok_or("the SHA-256 of a token has 64 hex digits; `worker token` prints it")?;
        Ok(Self { hash, ..Self::of(name, role.parse()?, "")? })
    }
}

/// Reads `http.tokens`: entries with white space or commas between them.
pub fn read(text: &str) -> Result<Vec<Token>, String> {
    let entries =
        text.split(|c: char| c.is_whitespace() || c == ',').filter(|entry| !entry.is_empty());
    // An entry may be a token by mistake, so it is counted and not shown.
    entries
        .enumerate()
        .map(|(at, entry)| entry.parse().map_err(|error| format!("entry {}: {error}", at + 1)))
        .collect()
}

/// A new secret of 256 random bits.
pub fn random() -> String {
    let bytes: [u8; BYTES] = rand::random();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// SHA-256.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn an_entry_knows_its_token_and_no_other() {
        let secret = random();
        let token = Token::of("ci", Role::Operator, &secret).unwrap();
        let read = read(&format!(" {},\n{} ", token.entry(), token.entry())).unwrap();
        assert_eq!(read, [token.clone(), token]);
        assert!(read[0].is(&secret));
        assert!(!read[0].is(&random()) && !read[0].is(""));
        assert!(!read[0].entry().contains(&secret));
    }

    #[test]
    fn a_wrong_entry_is_named_by_its_place_and_not_shown() {
        let good = Token::of("ci", Role::Admin, "x").unwrap().entry();
        for wrong in ["hunter2", "ci:king:00", "ci:viewer:hunter2", ":viewer:00", "a/b:viewer:00"] {
            let error = read(&format!("{good} {wrong}")).unwrap_err();
            assert!(error.starts_with("entry 2: ") && !error.contains("hunter2"), "{error}");
        }
    }
}
