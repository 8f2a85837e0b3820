//! Searches and page cursors that people and browsers send: a search that is understood is
//! formatted as text with the same meaning.

use mission_jobs::queue::Search;
use mission_jobs::queue::views::search::Cursor;

use super::plain;

/// Runs the target on one input.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match text.parse::<Search>() {
        Ok(search) => {
            assert_eq!(search.to_string().parse::<Search>().as_ref(), Ok(&search), "{search}");
        }
        Err(error) => plain(&error.to_string(), 4096),
    }
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
    }
}
