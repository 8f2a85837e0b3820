//! The flags that a job inherits from a job that it replaces, as letters on the wire: `f` forces
//! the bootstrap, `r` resets the session, `p` provisions rather than updates.

use mission_core::model::Inherited;

type Flag = fn(&mut Inherited) -> &mut bool;

/// The letter and the name of each flag.
const FLAGS: [(char, &str, Flag); 3] = [
    ('f', "force_bootstrap", |flags| &mut flags.force_bootstrap),
    ('r', "reset_session", |flags| &mut flags.reset_session),
    ('p', "provision", |flags| &mut flags.provision),
];

/// Returns the letters of the flags that are set.
pub(crate) fn to_letters(mut inherited: Inherited) -> String {
    let is_set = |(_, _, flag): &&(char, &str, Flag)| *flag(&mut inherited);
    FLAGS.iter().filter(is_set).map(|(letter, ..)| letter).collect()
}

/// Reads the flags from their letters and ignores unknown letters.
pub(crate) fn from_letters(letters: &str) -> Inherited {
    let mut inherited = Inherited::default();
    for (letter, _, flag) in FLAGS {
        *flag(&mut inherited) = letters.contains(letter);
    }
    inherited
}

/// Returns the names of the flags that the letters stand for.
pub(crate) fn names(letters: &str) -> Vec<String> {
    let flags = FLAGS.iter().filter(|(letter, ..)| letters.contains(*letter));
    flags.map(|(_, name, _)| (*name).to_owned()).collect()
}
