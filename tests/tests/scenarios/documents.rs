//! Job documents that are refused.
