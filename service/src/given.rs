//! Options of a service as they were given: what is registered of them, and what of that is kept when some are given anew.

use std::ffi::{OsStr, OsString};
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, ValueHint};

use crate::program::ServiceProgram;

/// Options of `A` that were given, and none that is as it is by default: another default of a later version counts then. A default that is
/// given is given.
#[derive(Debug)]
pub struct Given<A> {
    options: Vec<GivenOption>,
    of: PhantomData<fn() -> A>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct GivenOption {
    /// Among the options, in the order of the help.
    at: usize,
    flag: String,
    is_path: bool,
    /// One for each time that it is given; none for a switch.
    values: Option<Vec<OsString>>,
}

impl<A> Clone for Given<A> {
    fn clone(&self) -> Self {
        Self::of(self.options.clone())
    }
}

impl<A> Given<A> {
    const fn of(options: Vec<GivenOption>) -> Self {
        Self { options, of: PhantomData }
    }

    pub fn names(&self, flag: &str) -> bool {
        self.options.iter().any(|option| option.flag == flag)
    }

    /// What is given in the place of what is there, each option by itself.
    #[must_use]
    pub fn over(&self, there: Self) -> Self {
        let kept = there.options.into_iter().filter(|option| !self.names(&option.flag));
        let mut options: Vec<_> = kept.chain(self.options.iter().cloned()).collect();
        options.sort_by_key(|option| option.at);
        Self::of(options)
    }

    /// With absolute paths: a service's current directory is not the one that the command was given in.
    ///
    /// # Errors
    /// With the path of which none can be made.
    pub fn absolute(mut self) -> Result<Self, (PathBuf, io::Error)> {
        let paths = self.options.iter_mut().filter(|option| option.is_path).flat_map(|option| &mut option.values);
        for path in paths.flatten() {
            *path = std::path::absolute(&*path).map_err(|error| (Path::new(&*path).to_owned(), error))?.into();
        }
        Ok(self)
    }

    /// What the program is given when the manager starts it.
    pub fn arguments(&self) -> Vec<OsString> {
        let words = |option: &GivenOption| match &option.values {
            None => vec![OsString::from(&option.flag)],
            Some(values) => {
                values.iter().flat_map(|value| [OsStr::new(&option.flag).to_owned(), value.clone()]).collect()
            }
        };
        ["service".into(), "run".into()].into_iter().chain(self.options.iter().flat_map(words)).collect()
    }
}

impl<A: Args> Given<A> {
    /// What a service has already, as `C`, the command line of its program, reads it when it is started.
    ///
    /// # Errors
    /// Why nothing of it can be kept.
    pub fn registered<C: CommandFactory>(
        program: &'static ServiceProgram,
        arguments: &[OsString],
    ) -> Result<Self, String> {
        let words = std::iter::once(program.name.into()).chain(arguments.iter().cloned());
        let matches = C::command().try_get_matches_from(words).map_err(|error| refused_option(&error))?;
        let run = matches.subcommand_matches("service").and_then(|service| service.subcommand_matches("run"));
        let run = run.ok_or_else(|| "it does not run this program as a service".to_owned())?;
        Self::from_arg_matches(run).map_err(|error| refused_option(&error))
    }

    /// With this value of the option of `flag`, which was not given.
    #[must_use]
    pub fn with(self, flag: &str, value: OsString) -> Self {
        let command = A::augment_args(Command::new("service"));
        let mut options = command.get_arguments().enumerate();
        let added =
            options.find(|(_, option)| option.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long)));
        let added = added.map(|(at, option)| GivenOption {
            at,
            flag: flag.to_owned(),
            is_path: is_path(option),
            values: Some(vec![value]),
        });
        Self::of(added.into_iter().collect()).over(self)
    }
}

/// What is wrong with which option. clap's own words are several lines, with a usage that nobody asked for.
pub fn refused_option(error: &clap::Error) -> String {
    let kind = error.kind().as_str().unwrap_or("it is not understood");
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) => format!("{kind}, {option}"),
        _ => kind.to_owned(),
    }
}

fn is_path(option: &clap::Arg) -> bool {
    matches!(option.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath)
}

impl<A: Args> FromArgMatches for Given<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let command = A::augment_args(Command::new("service"));
        let given = command.get_arguments().enumerate().filter_map(|(at, option)| {
            let id = option.get_id().as_str();
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                return None;
            }
            let values = matches.get_raw(id).into_iter().flatten().map(OsStr::to_owned).collect();
            Some(GivenOption {
                at,
                flag: format!("--{}", option.get_long()?),
                is_path: is_path(option),
                values: option.get_action().takes_values().then_some(values),
            })
        });
        Ok(Self::of(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<A: Args> Args for Given<A> {
    /// None is required: it may be registered already.
    fn augment_args(command: Command) -> Command {
        A::augment_args(command).mut_args(|option| option.required(false))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
