//! How a command ends: an exit status, and what is said on standard error.

use std::process::ExitCode;

use crate::output::say;

/// An end other than success.
#[derive(Debug)]
pub struct Exit {
    status: u8,
    error: Option<anyhow::Error>,
}

impl Exit {
    /// The job or check failed; what was wrong has been printed.
    pub const FAILED: Self = Self { status: 1, error: None };

    /// Redis or a gateway cannot be reached; what was wrong has been printed.
    pub const UNREACHABLE: Self = Self { status: 3, error: None };

    /// Tells the error and gives the status.
    pub fn report(&self) -> ExitCode {
        if let Some(error) = &self.error {
            say(&format!("worker: {error:#}"));
        }
        ExitCode::from(self.status)
    }
}

/// Gives errors an exit status.
pub trait OrExit<T> {
    /// Usage or configuration: status 2.
    fn or_usage(self) -> Result<T, Exit>;
    /// The job or check failed: status 1.
    fn or_failed(self) -> Result<T, Exit>;
    /// Redis or a gateway cannot be reached: status 3.
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
