//! What the seam says about signed JARs, whatever the system.

use super::{NotOnThisSystem, ProgramError};

/// What the signatures of a JAR say of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JarSeal {
    /// All of it is as it was signed, by whomever.
    Whole,
    /// Some of it was changed or added since.
    Broken,
    /// None of it is signed.
    Unsigned,
}

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub enum JarError {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("jarsigner ended with {status} and said what is no answer; run it by hand, with -verify and the JAR")]
    NoAnswer { status: String },
    #[error(transparent)]
    NotHere(#[from] NotOnThisSystem),
}

impl JarError {
    /// Stable, for metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Program(error) => error.reason(),
            Self::NoAnswer { .. } => "failed",
            Self::NotHere(_) => NotOnThisSystem::REASON,
        }
    }
}
