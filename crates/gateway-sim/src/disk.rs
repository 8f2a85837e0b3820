//! The folders on the gateway's disk, and its trash.

use std::collections::BTreeMap;

use crate::{host::is_within, world::now_ms};

/// A file in an agent's workspace.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) content: String,
    pub(crate) updated_at_ms: u64,
}

impl File {
    pub(crate) fn new(content: &str) -> Self {
        Self { content: content.to_owned(), updated_at_ms: now_ms() }
    }
}

/// The files of a folder, by name.
pub(crate) type Files = BTreeMap<String, File>;

/// The folders by path, each with the agent for which it was last written.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    folders: BTreeMap<String, (String, Files)>,
    trash: BTreeMap<String, Files>,
}

impl Disk {
    pub(crate) fn files(&self, folder: &str) -> Option<&Files> {
        self.folders.get(folder).map(|(_, files)| files)
    }

    pub(crate) fn file(&self, folder: &str, name: &str) -> Option<&File> {
        self.files(folder)?.get(name)
    }

    /// Returns the files of a folder, and creates the folder if it is missing.
    pub(crate) fn make(&mut self, folder: &str, owner: &str) -> &mut Files {
        let (own, files) = self.folders.entry(folder.to_owned()).or_default();
        owner.clone_into(own);
        files
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&mut self, folder: &str, name: &str) {
        if let Some((_, files)) = self.folders.get_mut(folder) {
            files.remove(name);
        }
    }

    /// Moves a folder and everything below it to the trash. Returns the paths of the non-empty
    /// folders.
    pub(crate) fn trash(&mut self, folder: &str) -> Vec<String> {
        let gone: Vec<String> =
            self.folders.keys().filter(|path| is_within(path, folder)).cloned().collect();
        for path in &gone {
            let files = self.folders.remove(path).map(|(_, files)| files);
            self.trash.entry(path.clone()).or_default().extend(files.into_iter().flatten());
        }
        gone.into_iter()
            .filter(|path| self.trash.get(path).is_some_and(|files| !files.is_empty()))
            .collect()
    }

    /// Returns the path, the owner and the files of every folder.
    pub(crate) fn folders(&self) -> impl Iterator<Item = (&str, &str, &Files)> {
        self.folders.iter().map(|(path, (owner, files))| (path.as_str(), owner.as_str(), files))
    }

    /// Returns the files in the trash, by the path of their folder.
    pub(crate) fn trashed(&self) -> &BTreeMap<String, Files> {
        &self.trash
    }
}
