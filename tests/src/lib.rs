//! The end-to-end tests of mission-worker live in `tests/tests/`.
