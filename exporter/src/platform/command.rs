//! What a rotation has the system do, whatever the system.

use std::fmt;

/// Of an agent. Nothing of it comes from the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A program and its arguments, program first; no shell reads them.
    Program(Vec<String>),
    /// A service, by the name that the system's service manager has for it.
    Service { name: String, verb: ServiceVerb },
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
