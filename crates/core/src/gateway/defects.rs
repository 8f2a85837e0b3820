//! Harmful defects of single gateway versions that only the version number reveals in advance.
//!
//! All other capabilities are probed. This table is only for defects that would have done harm
//! before a probe shows them. Measured on real gateways; the versions between the tested ones are
//! assumed to behave like their neighbours.

/// A defect that the worker works around and reports to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// A change of `channels` restarts the gateway with the config that its process started with,
    /// and every later config write does so again. The gateway does not know agents written since
    /// until its process is restarted.
    StaleRestart,
    /// An agent that is deleted and created again has no sessions until the gateway is restarted in
    /// between.
    SessionsLost,
}

/// A version as year, month and number.
type Version = (u32, u32, u32);

/// The first and the last version that has each defect.
const TABLE: [(Defect, Version, Version); 2] = [
    (Defect::StaleRestart, (2026, 5, 2), (2026, 5, 11)),
    (Defect::SessionsLost, (2026, 8, 1), (2026, 9, 1)),
];

impl Defect {
    /// Returns whether a gateway of that version has the defect. Old gateways report the version
    /// `dev`; they have none of these.
    #[must_use]
    pub fn is_in(self, version: &str) -> bool {
        let Some(version) = parse(version) else { return false };
        TABLE
            .iter()
            .any(|(defect, first, last)| *defect == self && (*first..=*last).contains(&version))
    }

    /// Returns the defects of a gateway of that version.
    pub fn of(version: &str) -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(defect, ..)| *defect).filter(move |defect| defect.is_in(version))
    }

    /// Returns a sentence for people with the effect and the remedy.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::StaleRestart => {
                "this version restarts with the config of its process start when `channels` \
                    changes, and then does not know newer agents until its process is restarted: \
                    set `channels.defaults.heartbeat` before you start the gateway, or upgrade it \
                    to 2026.5.12 or newer"
            }
            Self::SessionsLost => {
                "this version cannot open the sessions of an agent that was deleted and is \
                    provisioned again until the gateway is restarted in between: restart it after \
                    a cleanup, or upgrade it to 2026.9.2 or newer"
            }
        }
    }
}

fn parse(version: &str) -> Option<Version> {
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_versions_between_have_a_defect() {
        for (version, expected) in [
            ("2026.5.7", vec![Defect::StaleRestart]),
            ("2026.5.7-2", vec![Defect::StaleRestart]),
            ("2026.5.12", vec![]),
            ("2026.8.2", vec![Defect::SessionsLost]),
            ("2026.9.1", vec![Defect::SessionsLost]),
            ("2026.9.2", vec![]),
            ("2027.5.7", vec![]),
            ("dev", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(Defect::of(version).collect::<Vec<_>>(), expected, "{version}");
        }
    }
}
