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

impl From<anyhow::Error> for BenchError {
    fn from(error: anyhow::Error) -> Self {
        error.downcast().unwrap_or_else(Self::Failed)
    }
}

/// Wraps errors that are not a failure of the measurement itself.
pub(crate) trait OrFail<T> {
    fn or_setup(self) -> anyhow::Result<T>;
    fn or_unreachable(self) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrFail<T> for Result<T, E> {
    fn or_setup(self) -> anyhow::Result<T> {
        self.map_err(|error| BenchError::Setup(error.into()).into())
    }

    fn or_unreachable(self) -> anyhow::Result<T> {
        self.map_err(|error| BenchError::Unreachable(error.into()).into())
    }
}
