//! The flags that a job inherits from a job that it replaces, as letters on the wire: `f` forces
//! the bootstrap, `r` resets the session, `p` provisions rather than updates.

use mission_core::model::Inherited;

/// Returns the letters of the flags that are set.
pub(crate) fn to_letters(inherited: Inherited) -> String {
    let letters = [
        (inherited.force_bootstrap, 'f'),
        (inherited.reset_session, 'r'),
        (inherited.provision, 'p'),
    ];
    letters.into_iter().filter_map(|(is_set, letter)| is_set.then_some(letter)).collect()
}

/// Reads the flags from their letters and ignores unknown letters.
pub(crate) fn from_letters(letters: &str) -> Inherited {
    Inherited {
        force_bootstrap: letters.contains('f'),
        reset_session: letters.contains('r'),
        provision: letters.contains('p'),
    }
}

/// Returns the names of the flags that the letters stand for.
pub(crate) fn names(letters: &str) -> Vec<String> {
    let names = [('f', "force_bootstrap"), ('r', "reset_session"), ('p', "provision")];
    names
        .into_iter()
        .filter(|(letter, _)| letters.contains(*letter))
        .map(|(_, name)| name.to_owned())
        .collect()
}
