//! The tests of `mission-core` that go through its public face.

mod roster;
mod templates;
mod vectors;
