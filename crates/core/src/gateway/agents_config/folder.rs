//! Folders on a gateway's machine, compared as the gateway compares them.
//!
//! Gateways replace a leading `~` with the home folder of their user, which nobody else knows: some
//! when they read the config, some when they write it. So a path with `~` and one without are
//! considered equal if the absolute path ends with the part after the `~`.

/// A path, split into its parts.
#[derive(Debug, PartialEq, Eq)]
struct Folder<'a> {
    /// Set if the path begins with `~`.
    of_home: bool,
    /// The names of the folders, without `.`, `..` and empty ones.
    steps: Vec<&'a str>,
}

impl<'a> Folder<'a> {
    fn of(path: &'a str) -> Self {
        let path = path.trim();
        // Windows accepts both slashes; on other systems a backslash is part of a name.
        let of_windows = path.as_bytes().get(1) == Some(&b':') || path.starts_with("\\\\");
        let is_separator = |c: char| c == '/' || (of_windows && c == '\\');
        let mut steps = Vec::new();
        let mut all = path.split(is_separator).peekable();
        let of_home = all.next_if_eq(&"~").is_some();
        for step in all {
            match step {
                "" | "." => {}
                ".." => drop(steps.pop()),
                step => steps.push(step),
            }
        }
        Self { of_home, steps }
    }
}

/// Returns whether both paths name the same folder, as far as can be determined.
#[must_use]
pub fn same_folder(one: &str, two: &str) -> bool {
    let (one, two) = (Folder::of(one), Folder::of(two));
    if one.of_home == two.of_home {
        return one.steps == two.steps;
    }
    let (of_home, other) = if one.of_home { (one, two) } else { (two, one) };
    !of_home.steps.is_empty()
        && other.steps.len() > of_home.steps.len()
        && other.steps.ends_with(&of_home.steps)
}

/// Returns whether one folder is or contains the other, or whether that cannot be ruled out:
/// deleting one may then delete files of the other.
#[must_use]
pub fn may_overlap(one: &str, two: &str) -> bool {
    let (one, two) = (Folder::of(one), Folder::of(two));
    if one.of_home == two.of_home {
        return one.steps.starts_with(&two.steps) || two.steps.starts_with(&one.steps);
    }
    let (of_home, other) = if one.of_home { (one, two) } else { (two, one) };
    // The home folder may be any parent folder, so every possible remainder is compared.
    (1..other.steps.len()).any(|home| {
        let rest = &other.steps[home..];
        rest.starts_with(&of_home.steps) || of_home.steps.starts_with(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_folders_are_recognised_in_any_spelling() {
        for (one, two, expected) in [
            ("/srv/w", "/srv/w/", true),
            ("/srv//w", "/srv/./w", true),
            ("/srv/x/../w", "/srv/w", true),
            ("/srv/w", "/srv/W", false),
            ("~/.openclaw/w", "~/.openclaw/w/", true),
            ("~/.openclaw/w", "/home/node/.openclaw/w", true),
            ("/root/.openclaw/w", "~/.openclaw/w", true),
            ("~/.openclaw/w", "/home/node/.openclaw/w2", false),
            ("~/.openclaw/w", "/home/node/.openclaw/w/x", false),
            ("~", "/home/node", false),
            ("/.openclaw/w", "~/.openclaw/w", false),
            ("C:\\w\\x", "C:/w/x/", true),
            ("/a\\b", "/a/b", false),
        ] {
            assert_eq!(same_folder(one, two), expected, "{one} {two}");
            assert_eq!(same_folder(two, one), expected, "{two} {one}");
        }
    }

    #[test]
    fn a_folder_overlaps_its_subfolders() {
        for (one, two, expected) in [
            ("/srv/w", "/srv/w/", true),
            ("/srv/w", "/srv/w/personal", true),
            ("/srv", "/srv/w/x", true),
            ("/srv/w", "/srv/w2", false),
            ("/srv/w/a", "/srv/w/b", false),
            ("~/w", "/home/node/w/x", true),
            ("~/w/x", "/home/node/w", true),
            ("~/w", "/home/node/v", false),
            ("/", "/srv", true),
        ] {
            assert_eq!(may_overlap(one, two), expected, "{one} {two}");
            assert_eq!(may_overlap(two, one), expected, "{two} {one}");
        }
    }
}
