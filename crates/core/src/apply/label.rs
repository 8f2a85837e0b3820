//! The label of a session, within the limit of a gateway.

/// Cuts a label to the most characters that the gateway accepts. Gateways count in UTF-16 units, as
/// JavaScript does.
pub(super) fn cut(label: &str, limit: Option<usize>) -> String {
    match limit {
        Some(limit) => {
            let mut units = 0;
            let fits = |c: &char| {
                units += c.len_utf16();
                units <= limit
            };
            label.chars().take_while(fits).collect::<String>().trim_end().to_owned()
        }
        None => label.to_owned(),
    }
}
