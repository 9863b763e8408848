//! What a rotation has the system do, whatever the system.

use std::fmt;
use std::path::Path;

/// Of an agent. Nothing of it comes from the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A program and its arguments, program first; no shell reads them.
    Program(Vec<String>),
    /// A service, by the name that the system's service manager has for it.
    Service { name: String, verb: ServiceVerb },
}

/// Why words are no program with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProgram {
    #[error("must name a program")]
    Missing,
    #[error("the program must be an absolute path, or a name without a path")]
    Relative,
    #[error("must have no NUL character")]
    Nul,
}

impl Command {
    /// A program by a relative path would depend on where this one happens to be started.
    ///
    /// # Errors
    /// See [`NoProgram`].
    pub fn program(argv: Vec<String>) -> Result<Self, NoProgram> {
        let program = Path::new(argv.first().filter(|program| !program.is_empty()).ok_or(NoProgram::Missing)?);
        if !program.is_absolute() && program.components().count() != 1 {
            return Err(NoProgram::Relative);
        }
        if argv.iter().any(|argument| argument.contains('\0')) {
            return Err(NoProgram::Nul);
        }
        Ok(Self::Program(argv))
    }

    /// Whether one of its arguments stands for something that is put in its place; the program itself is none of them.
    pub fn names(&self, placeholder: &str) -> bool {
        match self {
            Self::Program(argv) => argv.iter().skip(1).any(|argument| argument == placeholder),
            Self::Service { .. } => false,
        }
    }

    /// The same with what its arguments stand for; the program itself is no placeholder.
    #[must_use]
    pub fn with(&self, placeholder: &str, value: &str) -> Self {
        let Self::Program(argv) = self else { return self.clone() };
        let argument = |argument: &String| if argument == placeholder { value.to_owned() } else { argument.clone() };
        let (program, arguments) = argv.split_at(1.min(argv.len()));
        Self::Program(program.iter().cloned().chain(arguments.iter().map(argument)).collect())
    }
}

/// What becomes of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceVerb {
    Stop,
    Start,
}

impl ServiceVerb {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
        }
    }
}

/// What messages call it: a program without its arguments, or the service.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(argv) => f.write_str(argv.first().map_or("", String::as_str)),
            Self::Service { name, verb } => write!(f, "the {} of service {name}", verb.as_str()),
        }
    }
}
