//! What the seam says about packages, whatever the system.

use super::ProgramError;

/// A package that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledPackage {
    /// With its version and release, as in `pbeagent-7.0.0-419`.
    pub full_name: String,
    /// When it was installed last, in seconds since 1970.
    pub installed_at: i64,
}

/// Why it is not known whether a package is installed.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(
        "rpm ended with {status} and said what is no answer: {said}; run `rpm -q {package}` as the exporter's account"
    )]
    NoAnswer { package: String, status: String, said: String },
}

impl PackageError {
    pub const REASONS: &[&str] = &["failed", "lost", "not_started", "timeout", "too_much_output"];

    /// One of [`Self::REASONS`].
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoAnswer { .. } => "failed",
            Self::Program(error) => match error {
                ProgramError::TimedOut { .. } => "timeout",
                ProgramError::TooMuch { .. } => "too_much_output",
                ProgramError::Lost { .. } => "lost",
                ProgramError::Failed { .. } | ProgramError::Service(_) => "failed",
                ProgramError::NotRunnable { .. }
                | ProgramError::NotStarted { .. }
                | ProgramError::NotLaunched { .. } => "not_started",
            },
        }
    }
}
