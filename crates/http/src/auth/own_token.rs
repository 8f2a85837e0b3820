//! The token of this machine. A worker makes it at its first start and keeps it in the data
//! directory; `worker token show` prints it. Whoever can read that directory can act as the admin
//! `local`, over loopback only.
//!
//! A connection over loopback alone does not suffice to change anything, because a reverse proxy on
//! this machine forwards the requests of others over loopback too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mission_core::private_file;
use secrecy::SecretString;

use super::token::random;

/// The name of the file in the data directory.
const FILE: &str = "http.token";
/// The least length of a token in characters: an operator may put another token into the file.
const SHORTEST: usize = 20;

/// The reason why there is no such token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnTokenError {
    /// The file cannot be read or created.
    #[error(
        "the token of this machine, {path}: {source}; give the worker's user access to it, or set \
            another data directory"
    )]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Other users can read the file.
    #[error(
        "the token of this machine, {path}, can be read by other users (mode {mode:o}); run \
            `chmod 600 {path}`"
    )]
    Exposed {
        /// The path of the file.
        path: PathBuf,
        /// The mode bits of the file.
        mode: u32,
    },
    /// The file does not hold a token.
    #[error(
        "{path} does not hold a token of {SHORTEST} or more printable ASCII characters; delete \
            it, and the next start makes a new one"
    )]
    Unusable {
        /// The path of the file.
        path: PathBuf,
    },
}

/// Returns the path of the file.
#[must_use]
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Reads the token, and makes one if there is none. Workers that share a data directory share it.
pub fn load_or_create(data_dir: &Path) -> Result<SecretString, OwnTokenError> {
    if let Some(token) = load(data_dir)? {
        return Ok(token);
    }
    let path = path(data_dir);
    match private_file::create(&path, random().as_bytes()) {
        Ok(()) => {}
        // Another worker was faster. Its token counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(OwnTokenError::Io { path, source }),
    }
    load(data_dir)?
        .ok_or_else(|| OwnTokenError::Io { path, source: io::ErrorKind::NotFound.into() })
}

/// Reads the token. Returns none if no worker has made one yet.
pub fn load(data_dir: &Path) -> Result<Option<SecretString>, OwnTokenError> {
    let path = path(data_dir);
    let io = |source| OwnTokenError::Io { path: path.clone(), source };
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(io)?,
    };
    if let Some(mode) = private_file::exposed(&path).map_err(io)? {
        return Err(OwnTokenError::Exposed { path, mode });
    }
    let token = text.trim();
    if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(OwnTokenError::Unusable { path });
    }
    Ok(Some(SecretString::from(token)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn workers_that_share_a_data_directory_share_the_token() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_none());
        let read = || load_or_create(dir.path()).unwrap().expose_secret().to_owned();
        let tokens: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(read)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0] && token.len() > 40), "{tokens:?}");
        let mode = fs::metadata(path(dir.path())).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode, fs::read_dir(dir.path()).unwrap().count()), (0o600, 1));
    }

    #[test]
    fn a_file_that_others_can_read_or_without_a_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path()).unwrap();
        let path = path(dir.path());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            load_or_create(dir.path()),
            Err(OwnTokenError::Exposed { mode: 0o644, .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for wrong in ["", "short", "a token of several words", "a-token-with-a-\u{1b}-in-it"] {
            fs::write(&path, wrong).unwrap();
            assert!(
                matches!(load_or_create(dir.path()), Err(OwnTokenError::Unusable { .. })),
                "{wrong}"
            );
        }
        fs::write(&path, "my-own-token-of-some-length\n").unwrap();
        assert_eq!(
            load(dir.path()).unwrap().unwrap().expose_secret(),
            "my-own-token-of-some-length"
        );
    }
}
