//! Cases that failed once.
