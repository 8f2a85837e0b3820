//! Paths of this origin, and their queries.

/// Appends the parameters that are not empty to a path.
#[must_use]
pub(super) fn to(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        address.push(if address.contains('?') { '&' } else { '?' });
        address.push_str(name);
        address.push('=');
        escape(&mut address, value);
    }
    address
}

/// Appends a value, with each byte that is not plain as `%XX`.
fn escape(address: &mut String, value: &str) {
    for byte in value.bytes() {
        // People read searches too: what is safe in a query stays as it is.
        if byte.is_ascii_alphanumeric() || b"-._~:,/".contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push('%');
            for digit in [byte >> 4, byte & 15] {
                address
                    .push(char::from_digit(digit.into(), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
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
        for foreign in ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nb"]
        {
            assert_eq!(own_path(foreign), "/");
        }
    }
}
