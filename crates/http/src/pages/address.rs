//! Paths of this origin, and their queries.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The bytes of a value that are written as `%XX`. People read searches too, so what is safe in a
/// query stays as it is.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b',')
    .remove(b'/');

/// Appends the parameters that are not empty to a path.
#[must_use]
pub(super) fn to(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        let separator = if address.contains('?') { '&' } else { '?' };
        let _ = write!(address, "{separator}{name}={}", utf8_percent_encode(value, &ESCAPED));
    }
    address
}

/// Returns the path if it is one of this origin, and `/` otherwise.
pub(super) fn own_path(path: &str) -> &str {
    let own = path.starts_with('/')
        && !path.starts_with("//")
        && path.chars().all(|c| !c.is_control() && c != '\\');
    if own { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_in_a_query() {
        let address = to("/jobs", &[("q", "state:dead \"a & b\" é"), ("after", "")]);
        assert_eq!(address, "/jobs?q=state:dead%20%22a%20%26%20b%22%20%C3%A9");
    }

    #[test]
    fn a_path_to_return_to_stays_on_this_origin() {
        assert_eq!(own_path("/jobs?q=state:dead"), "/jobs?q=state:dead");
        let foreign = [
            "//evil.example",
            "https://evil.example/",
            "https://evil.example",
            "/\\evil.example",
            "",
            "jobs",
            "/a\r\nb",
        ];
        for path in foreign {
            assert_eq!(own_path(path), "/", "{path}");
        }
    }
}
