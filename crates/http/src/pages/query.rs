//! Addresses with a query.

/// A path with these parameters; those that are empty are left out.
#[must_use]
pub fn to(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        address.push(if address.contains('?') { '&' } else { '?' });
        address.push_str(name);
        address.push('=');
        escape(&mut address, value);
    }
    address
}

/// The parameters as the body of a form or a query, each byte that is not plain as `%XX`.
fn escape(address: &mut String, value: &str) {
    for byte in value.bytes() {
        // A search is read by people too: what is safe in a query stays as it is.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_escaped() {
        let address = to("/jobs", &[("q", "state:dead \"a & b\" é"), ("after", "")]);
        assert_eq!(address, "/jobs?q=state:dead%20%22a%20%26%20b%22%20%C3%A9");
    }
}
