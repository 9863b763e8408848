//! Options that were given, told from those that are as they are by default.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches, Id};

use super::WorkArgs;

/// [`WorkArgs`], of which only what was given counts where others are there already.
#[derive(Clone, Debug)]
pub struct GivenArgs {
    work: WorkArgs,
    /// As clap calls them: by the names of the fields.
    given: Vec<Id>,
}

impl GivenArgs {
    /// All of them, where none are there.
    pub const fn alone(&self) -> &WorkArgs {
        &self.work
    }

    /// What is given in the place of what is there, each option by itself.
    pub fn over(&self, there: WorkArgs) -> WorkArgs {
        let WorkArgs {
            config_file,
            listen_addresses,
            web_config_file,
            telemetry_path,
            log_level,
            log_file,
            log_format,
        } = self.work.clone();
        WorkArgs {
            config_file: self.either("config_file", config_file, there.config_file),
            listen_addresses: self.either("listen_addresses", listen_addresses, there.listen_addresses),
            web_config_file: self.either("web_config_file", web_config_file, there.web_config_file),
            telemetry_path: self.either("telemetry_path", telemetry_path, there.telemetry_path),
            log_level: self.either("log_level", log_level, there.log_level),
            log_file: self.either("log_file", log_file, there.log_file),
            log_format: self.either("log_format", log_format, there.log_format),
        }
    }

    fn either<T>(&self, option: &str, given: T, there: T) -> T {
        if self.given.iter().any(|id| id == option) { given } else { there }
    }
}

impl FromArgMatches for GivenArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_given = |id: &&Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        let given = matches.ids().filter(is_given).cloned().collect();
        Ok(Self { work: WorkArgs::from_arg_matches(matches)?, given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for GivenArgs {
    fn augment_args(command: Command) -> Command {
        WorkArgs::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        WorkArgs::augment_args_for_update(command)
    }
}
