//! What a provisioning costs on the imitated versions.
