//! What a job that replaces another one inherits, as letters on the wire: `f` force the bootstrap,
//! `r` reset the session, `p` provision rather than update.

use mission_core::model::Inherited;

/// The letters of those that are set.
pub(crate) fn to_letters(inherited: Inherited) -> String {
    let letters = [
        (inherited.force_bootstrap, 'f'),
        (inherited.reset_session, 'r'),
        (inherited.provision, 'p'),
    ];
    letters.into_iter().filter_map(|(is_set, letter)| is_set.then_some(letter)).collect()
}

/// What the letters say; unknown ones say nothing.
pub(crate) fn from_letters(letters: &str) -> Inherited {
    Inherited {
        force_bootstrap: letters.contains('f'),
        reset_session: letters.contains('r'),
        provision: letters.contains('p'),
    }
}

/// The names of those that the letters say.
pub(crate) fn names(letters: &str) -> Vec<String> {
    let names = [('f', "force_bootstrap"), ('r', "reset_session"), ('p', "provision")];
    names
        .into_iter()
        .filter(|(letter, _)| letters.contains(*letter))
        .map(|(_, name)| name.to_owned())
        .collect()
}
