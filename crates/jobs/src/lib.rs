//! The four job kinds and the durable queue that holds them.
