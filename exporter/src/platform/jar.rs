//! What the seam says about signed JARs, whatever the system.

use std::collections::BTreeSet;

use super::{NotOnThisSystem, ProgramError};

/// What the signatures of a JAR say of what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JarSeal {
    /// All of it is as it was signed, by whomever. `signers` has their names as their certificates have them, and is empty where the
    /// program tells none: whether somebody else has a certificate with such a name, nobody has looked at.
    Whole { signers: BTreeSet<String> },
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
