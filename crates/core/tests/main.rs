//! The tests of `mission-core` that go through its public face.

mod templates;
mod vectors;
