//! The errors of measurements.

/// An error of a measurement. `worker bench` has an exit status for each kind.
#[derive(Debug, thiserror::Error)]

pub enum BenchError {
    /// The machine lacks something, such as a `redis-server`.
    #[error(transparent)]
    Setup(anyhow::Error),
    /// The measurement failed, or was stopped.
    #[error(transparent)]
    Failed(anyhow::Error),
    /// The Redis that is measured did not answer.
    #[error(transparent)]
    Unreachable(anyhow::Error),
}

/// Wraps errors by kind.
pub(crate) trait OrFail<T> {
    fn or_setup(self) -> Result<T, BenchError>;
    fn or_failed(self) -> Result<T, BenchError>;
    fn or_unreachable(self) -> Result<T, BenchError>;
}

impl<T, E: Into<anyhow::Error>> OrFail<T> for Result<T, E> {
    fn or_setup(self) -> Result<T, BenchError> {
        self.map_err(|error| BenchError::Setup(error.into()))
    }

    fn or_failed(self) -> Result<T, BenchError> {
        self.map_err(|error| BenchError::Failed(error.into()))
    }

    fn or_unreachable(self) -> Result<T, BenchError> {
        self.map_err(|error| BenchError::Unreachable(error.into()))
    }
}
