//! The tests of `mission-core` that go through its public face.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod outcomes;
mod roster;
mod templates;
mod vectors;
