//! Files and folders that only their owner can read, from the moment they exist.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use uuid::Uuid;

/// Creates a folder and its missing parents, each with mode 0700. An existing folder is left alone.
pub fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a file with mode 0600 and the given content, and its folder if missing. Fails with
/// [`io::ErrorKind::AlreadyExists`] if something with this name exists.
///
/// The file is written under another name and linked into place, so that a crash leaves no partial
/// file and concurrent processes agree on one.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        create_folder(parent)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", Uuid::now_v7().simple()));
    let written = write_new(&temporary, content).and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)
        .or_else(|error| if written.is_err() { Ok(()) } else { Err(error) })?;
    written
}

/// Writes a new file with mode 0600 to the disk. Fails if something with this name exists.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Returns the mode bits of a file that users other than its owner can read or write, or `None` if
/// only the owner can.
pub fn exposed(path: &Path) -> io::Result<Option<u32>> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    Ok(Some(mode).filter(|mode| mode & 0o077 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_and_its_owners_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("data/deep/secret");
        create(&path, b"first").expect("made");
        assert_eq!(
            create(&path, b"second").expect_err("the file exists").kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read(&path).expect("read"), b"first");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        let folder = path.parent().expect("a folder");
        assert_eq!(
            (mode(&path), mode(folder), exposed(&path).expect("there")),
            (0o600, 0o700, None)
        );
        assert_eq!(fs::read_dir(folder).expect("listed").count(), 1, "no temporary file is left");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        assert_eq!(exposed(&path).expect("there"), Some(0o640));
    }
}
