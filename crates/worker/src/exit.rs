//! Defines the end of a command: its exit status, and the error on standard error.

use std::process::ExitCode;

use mission_jobs::QueueError;

use crate::output::say;

/// The failure of a command.
#[derive(Debug)]
pub struct Exit {
    status: u8,
    error: Option<anyhow::Error>,
}

impl Exit {
    /// The job or check failed, and the reason has been printed: status 1.
    pub const FAILED: Self = Self { status: 1, error: None };

    /// Redis or a gateway is unreachable, and the reason has been printed: status 3.
    pub const UNREACHABLE: Self = Self { status: 3, error: None };

    /// Creates the exit for an error of usage or configuration: status 2.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { status: 2, error: Some(error.into()) }
    }

    /// Creates the exit for a failed job or check: status 1.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { error: Some(error.into()), ..Self::FAILED }
    }

    /// Creates the exit for an error because Redis or a gateway is unreachable: status 3.
    pub fn unreachable(error: impl Into<anyhow::Error>) -> Self {
        Self { error: Some(error.into()), ..Self::UNREACHABLE }
    }

    /// Prints the error, if any, and returns the exit status.
    pub fn report(&self) -> ExitCode {
        if let Some(error) = &self.error {
            say(&format!("worker: {error:#}"));
        }
        ExitCode::from(self.status)
    }
}

impl From<QueueError> for Exit {
    fn from(error: QueueError) -> Self {
        if error.is_about_shards() {
            Self::usage(error)
        } else if error.is_unavailable() {
            Self::unreachable(error)
        } else {
            Self::failed(error)
        }
    }
}

/// Converts errors to exits with the status of [`Exit::usage`], [`Exit::failed`] or
/// [`Exit::unreachable`].
pub trait OrExit<T> {
    fn or_usage(self) -> Result<T, Exit>;
    fn or_failed(self) -> Result<T, Exit>;
    fn or_unreachable(self) -> Result<T, Exit>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_usage(self) -> Result<T, Exit> {
        self.map_err(Exit::usage)
    }

    fn or_failed(self) -> Result<T, Exit> {
        self.map_err(Exit::failed)
    }

    fn or_unreachable(self) -> Result<T, Exit> {
        self.map_err(Exit::unreachable)
    }
}
