//! The local mirror: copies of the documents that agents own, on the worker's own disk. It is off
//! unless configured.
//!
//! The folder of an agent is named after a digest of its workspace path, because the path is
//! untrusted and may contain anything. An existing file is never overwritten, whoever created it.
//! Folders and files are readable by their owner only from the moment they are created.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::digest::sha256_hex;
use crate::private_file::{create_folder, write_new};
use crate::python_format;

/// The local mirror, which may be switched off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    root: Option<PathBuf>,
}

/// The result of writing one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrored {
    /// The file was missing and has been written.
    Written,
    /// Something with this name already exists: a file, a folder or a dangling link.
    Kept,
    /// The name is not a plain file name, or the workspace path is empty.
    Refused,
    /// There is no mirror.
    Off,
}

/// The reason why the mirror cannot be used. It never fails a job: log it and continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The root begins with `~` and the home folder is unknown.
    #[error(
        "the mirror's root `{root}` begins with `~`, but the home folder is unknown; use an \
            absolute path"
    )]
    NoHome {
        /// The root as configured.
        root: String,
    },
    /// The agent's folder is not a real folder.
    #[error("`{}` is a link or not a folder; remove it so that it can be created", .path.display())]
    NotAFolder {
        /// The path of the agent's folder.
        path: PathBuf,
    },
    /// The disk did not accept the file.
    #[error("cannot write `{}`: {source}; check the folder's permissions \
        and the free space", .path.display())]
    Io {
        /// The file to be written.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl Mirror {
    /// Creates a mirror below `root`. A blank root switches it off; a leading `~` is the home
    /// folder of the worker's user.
    pub fn new(root: &str) -> Result<Self, MirrorError> {
        Self::with_home(root, std::env::home_dir().as_deref())
    }

    /// Like [`Mirror::new`], with a different home folder.
    pub fn with_home(root: &str, home: Option<&Path>) -> Result<Self, MirrorError> {
        let root = python_format::strip(root);
        if root.is_empty() {
            return Ok(Self { root: None });
        }
        let Some(below_home) = root.strip_prefix('~') else {
            return Ok(Self { root: Some(PathBuf::from(root)) });
        };
        match home {
            Some(home) if below_home.is_empty() || below_home.starts_with('/') => {
                Ok(Self { root: Some(home.join(below_home.trim_start_matches('/'))) })
            }
            _ => Err(MirrorError::NoHome { root: root.to_owned() }),
        }
    }

    /// Returns the folder name for a workspace path: `gateway-workspace-` and the first 16 hex
    /// digits of the path's SHA-256 hash.
    #[must_use]
    pub fn folder_name(workspace_path: &str) -> String {
        format!("gateway-workspace-{}", &sha256_hex(workspace_path)[..16])
    }

    /// Writes a file of an agent unless something with this name exists. Blocks on the disk.
    pub fn write_missing(
        &self,
        workspace_path: &str,
        name: &str,
        content: &str,
    ) -> Result<Mirrored, MirrorError> {
        let Some(root) = &self.root else { return Ok(Mirrored::Off) };
        if workspace_path.is_empty() || !is_plain_name(name) {
            return Ok(Mirrored::Refused);
        }
        let folder = root.join(Self::folder_name(workspace_path));
        let path = folder.join(name);
        let failed = |source| MirrorError::Io { path: path.clone(), source };
        create_folder(&folder).map_err(failed)?;
        let found = fs::symlink_metadata(&folder).map_err(failed)?;
        if !found.is_dir() {
            return Err(MirrorError::NotAFolder { path: folder });
        }
        if found.permissions().mode() & 0o077 != 0 {
            close(&folder).map_err(failed)?;
        }
        match fs::symlink_metadata(&path) {
            Ok(_) => return Ok(Mirrored::Kept),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        // Each write has its own name, so two writers never fill the same temporary file.
        let temporary = folder.join(format!("{name}.{}.tmp", Uuid::now_v7().simple()));
        let outcome =
            write_new(&temporary, content.as_bytes()).and_then(|()| publish(&temporary, &path));
        if outcome.is_err() {
            // The file may not exist. The first error is the one that counts.
            let _ = fs::remove_file(&temporary);
        }
        outcome.map_err(failed)
    }
}

/// Removes access for everyone but the owner: older versions created folders that everybody could
/// read. A folder that belongs to another user is left alone.
fn close(folder: &Path) -> io::Result<()> {
    match fs::set_permissions(folder, fs::Permissions::from_mode(0o700)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// Gives a finished temporary file its final name. A link is tried first, because it fails where a
/// rename would overwrite a file created in the meantime. The rename is for file systems without
/// links.
fn publish(temporary: &Path, path: &Path) -> io::Result<Mirrored> {
    match fs::hard_link(temporary, path) {
        Ok(()) => fs::remove_file(temporary).map(|()| Mirrored::Written),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(temporary).map(|()| Mirrored::Kept)
        }
        Err(_) => fs::rename(temporary, path).map(|()| Mirrored::Written),
    }
}

/// Returns whether the name contains no path.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !matches!(name, "." | "..") && !name.contains(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn writers_in_a_race_write_once() {
        let root = tempfile::tempdir().expect("temporary folder");
        let mirror = Mirror::new(&root.path().display().to_string()).expect("absolute root");
        let barrier = Barrier::new(8);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let write = |text: String| {
                barrier.wait();
                mirror.write_missing("/w", "USER.md", &text).expect("writable folder")
            };
            let threads: Vec<_> =
                (0..8).map(|n| scope.spawn(move || write(n.to_string().repeat(9999)))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Mirrored::Written).count(), 1);
        let folder = root.path().join(Mirror::folder_name("/w"));
        let content = fs::read_to_string(folder.join("USER.md")).expect("written");
        assert_eq!(content, content[..1].repeat(9999));
        assert_eq!(fs::read_dir(folder).expect("listed").count(), 1, "no temporary file is left");
    }

    #[test]
    fn what_is_mirrored_is_its_owners_alone() {
        let root = tempfile::tempdir().expect("temporary folder");
        let mirror = Mirror::new(&root.path().join("new/root").display().to_string())
            .expect("absolute root");
        mirror.write_missing("/w", "USER.md", "x").expect("writable folder");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        let folder = root.path().join("new/root").join(Mirror::folder_name("/w"));
        for (path, wanted) in [
            (root.path().join("new"), 0o700),
            (folder.clone(), 0o700),
            (folder.join("USER.md"), 0o600),
        ] {
            assert_eq!(mode(&path), wanted, "{}", path.display());
        }
        // An older version created it with this mode.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("chmod");
        assert_eq!(mirror.write_missing("/w", "USER.md", "x").expect("kept"), Mirrored::Kept);
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn links_are_not_followed() {
        let root = tempfile::tempdir().expect("temporary folder");
        let outside = tempfile::tempdir().expect("temporary folder");
        let mirror = Mirror::new(&root.path().display().to_string()).expect("absolute root");
        let link = |name: String, target: PathBuf| {
            std::os::unix::fs::symlink(target, root.path().join(name))
        };

        link(Mirror::folder_name("/linked"), outside.path().to_owned()).expect("link");
        let refused =
            mirror.write_missing("/linked", "USER.md", "x").expect_err("a link is not a folder");
        assert!(matches!(refused, MirrorError::NotAFolder { .. }));

        mirror.write_missing("/w", "SELF.md", "x").expect("writable folder");
        link(Mirror::folder_name("/w") + "/USER.md", outside.path().join("new")).expect("link");
        assert_eq!(mirror.write_missing("/w", "USER.md", "x").expect("kept"), Mirrored::Kept);
        assert_eq!(fs::read_dir(outside.path()).expect("listed").count(), 0);
    }
}
