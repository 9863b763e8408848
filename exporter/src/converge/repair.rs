//! How a client is repaired, as the configuration says: the program that reaches it.

use std::time::Duration;

use super::client::ClientHost;
use super::machine::Limits;
use crate::config::{CLIENT, ClientRepairConfig};
use crate::installation::{Installed, client_repair_command};
use crate::platform::Command;

/// How clients of one agent are repaired.
#[derive(Clone, Debug)]
pub struct ClientRepair {
    /// [`CLIENT`] is in it still.
    command: Command,
    pub deadline: Duration,
    pub limits: Limits,
    /// How many at once.
    pub concurrent: usize,
}

impl ClientRepair {
    /// Of an agent that is installed there. None where its program is to be given a place in a directory that is not known.
    pub fn of(config: &ClientRepairConfig, at: Option<&Installed>) -> Option<Self> {
        let ClientRepairConfig { deadline, attempts, concurrent, .. } = config;
        let (command, limits) = (client_repair_command(config, at)?, Limits { attempts: *attempts });
        Some(Self { command, deadline: deadline.as_duration(), limits, concurrent: *concurrent })
    }

    /// The program, for whoever judges it before it is run.
    pub const fn command(&self) -> &Command {
        &self.command
    }

    /// The same for one client, whose name is an argument by itself.
    pub fn for_client(&self, client: &ClientHost) -> Command {
        self.command.with(CLIENT, client.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kagiban_agents::Product;

    use super::*;
    use crate::installation::below;
    use crate::platform::testing::native;

    #[test]
    fn a_command_is_given_the_client_and_the_places_of_what_it_delivers_each_as_an_argument() {
        let config: ClientRepairConfig = serde_yaml::from_str(&native(
            "{command: [/bin/deliver, '{client}', '{certificate}', '{files}', '{passwordFile}', 'x{client}'], passwordFile: /run/unload, deadline: 2m}",
        ))
        .expect("a section");
        let installed = Installed { product: Product::ApexOne, directory: "/srv/apex".into() };
        let repair = ClientRepair::of(&config, Some(&installed)).expect("its places are known");
        assert_eq!((repair.deadline, repair.limits.attempts, repair.concurrent), (Duration::from_mins(2), 3, 1));
        let Command::Program(argv) = repair.for_client(&"PC-01".parse().expect("a host name")) else {
            panic!("a program")
        };
        let place = |name| below(Path::new("/srv/apex"), name).display().to_string();
        let expected =
            ["PC-01".to_owned(), place("PCCSRV/Pccnt/Common/OfcNTCer.dat"), place("PCCSRV/Admin/Utility/IpXfer")];
        assert_eq!(argv[1..4], expected);
        assert!(argv[4].ends_with("unload") && argv[5] == "x{client}", "{argv:?}");
    }

    #[test]
    fn a_command_that_needs_a_directory_that_is_not_known_is_none() {
        for (arguments, is_one) in
            [("'{client}'", true), ("'{client}', '{certificate}'", false), ("'{client}', '{files}'", false)]
        {
            let config: ClientRepairConfig =
                serde_yaml::from_str(&format!("{{command: [deliver, {arguments}]}}")).expect("a section");
            assert_eq!(ClientRepair::of(&config, None).is_some(), is_one, "{arguments}");
        }
    }
}
