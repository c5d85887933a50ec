//! How a verb ends when it does not end well.

use std::process::ExitCode;

use crate::broker::BrokerError;
use crate::config::ConfigError;
use crate::store::StoreError;

/// Why a verb failed: the variant alone picks the exit code.
#[derive(Debug, thiserror::Error)]
pub enum ExitError {
    /// 1: it did not work, or what was to be verified is wrong.
    #[error("error: {0:#}")]
    Failed(anyhow::Error),
    /// 69 (`EX_UNAVAILABLE`): database or broker cannot be reached; the same command may work later.
    #[error("error: {0:#}")]
    Unavailable(anyhow::Error),
    /// 78 (`EX_CONFIG`): settings, rules or schema are wrong; it fails until somebody changes them.
    #[error("{0:#}")]
    Config(anyhow::Error),
}

impl ExitError {
    /// The number for it.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Unavailable(_) => 69,
            Self::Config(_) => 78,
        })
    }
}

impl From<ConfigError> for ExitError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.into())
    }
}

impl From<StoreError> for ExitError {
    fn from(error: StoreError) -> Self {
        let words = anyhow::anyhow!(error.in_full());
        match error {
            StoreError::Setup(_) | StoreError::Config(_) => Self::Config(words),
            StoreError::Content(_) | StoreError::Violated(_) | StoreError::Corrupt(_) => Self::Failed(words),
            StoreError::Unreachable { .. } => Self::Unavailable(words),
            StoreError::Lost(_) => Self::Unavailable(words.context("the database cannot be reached")),
            StoreError::Again(_) | StoreError::Locked(_) | StoreError::Busy(_) => {
                Self::Unavailable(words.context("the database is busy"))
            }
        }
    }
}

impl From<BrokerError> for ExitError {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Unavailable { .. } => {
                Self::Unavailable(anyhow::Error::from(error).context("the broker cannot be reached"))
            }
            BrokerError::Config(_) | BrokerError::Mismatch { .. } | BrokerError::Refused { .. } => {
                Self::Config(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_number() {
        let numbers = [
            (ExitError::Failed(anyhow::anyhow!("x")), 1),
            (ExitError::Unavailable(anyhow::anyhow!("x")), 69),
            (ExitError::Config(anyhow::anyhow!("x")), 78),
        ];
        for (error, number) in numbers {
            // ExitCode has no equality; its Debug text does.
            assert_eq!(format!("{:?}", error.code()), format!("{:?}", ExitCode::from(number)));
        }
    }

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let error = anyhow::anyhow!("connection refused").context("the database cannot be reached");
        let text = ExitError::Unavailable(error).to_string();
        assert_eq!(text, "error: the database cannot be reached: connection refused");
    }
}
