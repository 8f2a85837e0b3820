//! Tables in documents of this repository, between marks.

use std::fs;
use std::path::Path;

/// Writes tables instead of comparing them.
const WRITE: &str = "MISSION_WRITE_README";

/// Returns whether the environment asks for tables to be written.
pub fn is_writing() -> bool {
    std::env::var_os(WRITE).is_some()
}

/// A place in a document.
pub struct Marked {
    /// The document, from the repository's root.
    pub document: &'static str,
    /// What its marks are called.
    pub name: &'static str,
}

impl Marked {
    /// Writes the text there, if asked to by the environment; whether it was.
    pub fn write(&self, text: &str) -> bool {
        if is_writing() {
            fs::write(self.path(), self.with(text)).unwrap();
        }
        is_writing()
    }

    /// Fails if another text stands there.
    pub fn compare(&self, text: &str) {
        let same = fs::read_to_string(self.path()).unwrap() == self.with(text);
        assert!(
            same,
            "{} has another table, {WRITE}=1 writes this one there:\n{text}",
            self.document
        );
    }

    fn with(&self, text: &str) -> String {
        let now = fs::read_to_string(self.path()).unwrap();
        let [begin, end] =
            ["begin", "end"].map(|which| format!("<!-- {}:{which} -->\n", self.name));
        let (before, rest) =
            now.split_once(&begin).expect("the document has a place for the table");
        let (_, after) = rest.split_once(&end).expect("the document has a place for the table");
        format!("{before}{begin}{text}{end}{after}")
    }

    fn path(&self) -> impl AsRef<Path> {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(self.document)
    }
}
