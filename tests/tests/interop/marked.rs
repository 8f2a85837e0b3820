//! Generated tables between marks in documents of this repository.

use std::fs;
use std::path::Path;

/// The variable that makes tests write tables instead of comparing them.
const WRITE: &str = "MISSION_WRITE_README";

/// Returns whether the environment asks for tables to be written.
pub fn is_writing() -> bool {
    std::env::var_os(WRITE).is_some()
}

/// A marked place in a document.
pub struct Marked {
    /// The path of the document from the repository's root.
    pub document: &'static str,
    /// The name in its marks.
    pub name: &'static str,
}

impl Marked {
    /// Writes the text if the environment asks for it, and returns whether it did.
    pub fn write(&self, text: &str) -> bool {
        if is_writing() {
            fs::write(self.path(), self.with(text)).unwrap();
        }
        is_writing()
    }

    /// Fails if the document has another text there.
    pub fn compare(&self, text: &str) {
        let same = fs::read_to_string(self.path()).unwrap() == self.with(text);
        assert!(
            same,
            "the table in {} is out of date; {WRITE}=1 replaces it with this one:\n{text}",
            self.document
        );
    }

    fn with(&self, text: &str) -> String {
        let now = fs::read_to_string(self.path()).unwrap();
        let [begin, end] =
            ["begin", "end"].map(|which| format!("<!-- {}:{which} -->\n", self.name));
        let (before, rest) = now.split_once(&begin).expect("the document has the opening mark");
        let (_, after) = rest.split_once(&end).expect("the document has the closing mark");
        format!("{before}{begin}{text}{end}{after}")
    }

    fn path(&self) -> impl AsRef<Path> {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(self.document)
    }
}
