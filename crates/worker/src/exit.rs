//! Defines the end of a command: its exit status, and the error on standard error.

use std::process::ExitCode;

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

    /// Prints the error, if any, and returns the exit status.
    pub fn report(&self) -> ExitCode {
        if let Some(error) = &self.error {
            say(&format!("worker: {error:#}"));
        }
        ExitCode::from(self.status)
    }
}

/// Converts errors to exits with a status.
pub trait OrExit<T> {
    /// Converts an error of usage or configuration: status 2.
    fn or_usage(self) -> Result<T, Exit>;
    /// Converts a failed job or check: status 1.
    fn or_failed(self) -> Result<T, Exit>;
    /// Converts an error because Redis or a gateway is unreachable: status 3.
    fn or_unreachable(self) -> Result<T, Exit>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_usage(self) -> Result<T, Exit> {
        self.map_err(|error| Exit { status: 2, error: Some(error.into()) })
    }

    fn or_failed(self) -> Result<T, Exit> {
        self.map_err(|error| Exit { status: 1, error: Some(error.into()) })
    }

    fn or_unreachable(self) -> Result<T, Exit> {
        self.map_err(|error| Exit { status: 3, error: Some(error.into()) })
    }
}
