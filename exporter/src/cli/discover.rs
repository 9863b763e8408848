//! `discover`: what is on this host, and what a person writes to have it rotated.

use std::io::{self, Write};

use super::listing::Printable;
use super::{DiscoverArgs, Proposed};
use crate::discovery::proposal;
use crate::overview::products;
use crate::service::Inventory;

/// Prints what was found, in the form that was asked for.
///
/// # Errors
/// When it cannot be written.
pub fn print(found: &Inventory, args: &DiscoverArgs, out: &mut dyn Write) -> io::Result<()> {
    let Inventory { host, agents, daemons, .. } = found;
    match args.output {
        Proposed::Text => text(found, out)?,
        Proposed::Config => {
            let configuration = match host {
                Ok(host) => proposal::configuration(host, agents, daemons),
                Err(own) => proposal::configuration_of_unnamed(own, agents, daemons),
            };
            out.write_all(configuration.as_bytes())?;
        }
        Proposed::Manifests => {
            let manifests = match host {
                Ok(host) => proposal::manifests(host, &args.namespace, agents, daemons),
                Err(own) => proposal::manifests_of_unnamed(own, agents, daemons),
            };
            out.write_all(manifests.as_bytes())?;
        }
    }
    out.flush()
}

fn text(found: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    let mut line = |what: &str, text: &str| writeln!(out, "{what:<14}{}", Printable(text));
    match &found.host {
        Ok(host) => line("host", host.as_str())?,
        Err(own) => line("host", &format!("{own:?} is no host name: give its name with --host"))?,
    }
    for at in &found.installed {
        let directory = at.directory.display();
        let agent = found.agents.iter().find(|agent| agent.at == *at);
        let rotated = match agent.map(|agent| (&agent.name, agent.is_whole())) {
            Some((name, true)) => format!("as agent {name}"),
            Some((name, false)) => format!("which renews its own certificate, as agent {name}"),
            None => "not rotated by a keystore".to_owned(),
        };
        line("agent", &format!("{} in {directory}, {rotated}", at.product.id()))?;
    }
    for seen in &found.releases {
        if let Some(release) = products::release(seen) {
            let place = seen.directory.as_ref().map_or_else(String::new, |directory| format!(" in {directory}"));
            line("product", &format!("{release}{place}; {}", products::by_notice(seen)))?;
        }
    }
    for (what, paths) in
        [("trust store", &found.trust_stores), ("CA bundle", &found.bundles), ("event log", &found.event_logs)]
    {
        for path in paths {
            line(what, &path.display().to_string())?;
        }
    }
    for daemon in &found.daemons {
        line("UPS daemon", &format!("{} at {}", daemon.as_str(), daemon.address()))?;
    }
    if found.agents.is_empty() {
        writeln!(
            out,
            "\nNo agent was found whose keystore can be rotated; {} shows how one is named by hand.",
            online!("examples/exporter.yaml")
        )?;
    } else {
        writeln!(
            out,
            "\n`-o config` prints a configuration for this host, and `-o manifests` the resources for the operator."
        )?;
    }
    writeln!(
        out,
        "A service of your own with a certificate (tls-service) is in no usual place and is not found. `-o config` shows how it is named under \
         `agents`; see {}",
        online!("docs/products/tls-service.md")
    )
}
