//! SHA-256 digests.

use sha2::{Digest, Sha256};

/// Returns the SHA-256 digest of some bytes in lower-case hex digits.
pub(crate) fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}
