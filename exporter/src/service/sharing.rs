//! Whether agents share a file or a service, as their files lie on this host: asked once for each, and judged anew whenever
//! another answers. An agent that has not answered takes nothing new.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use kagiban_crds::AgentName;
use kagiban_process::threads::own_thread;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::config::AgentConfig;
use crate::rotation::agent::{Agent, AgentConfigError};
use crate::rotation::conflicts::{self, ExclusiveResources};
use crate::rotation::{AgentRefusal, RefusedAgents};

/// Between two looks at the accounts of this host, which a want of descriptors hides for a moment.
const ACCOUNTS_AGAIN: Duration = Duration::from_secs(1);

/// What is known of an agent's needs.
#[derive(Debug)]
enum AgentAnswer {
    /// None of an agent that cannot be rotated as it is configured: it has none.
    Found(Option<ExclusiveResources>),
    Unknown(AgentRefusal),
}

/// The agents, each with what is known of its needs, and who is still to answer.
pub(super) struct Sharing {
    answers: BTreeMap<AgentName, AgentAnswer>,
    asked: FuturesUnordered<BoxFuture<'static, (AgentName, AgentAnswer)>>,
}

impl Sharing {
    /// Each has a thread of its own: where the files of one agent hang, the others are known all the same.
    pub(super) fn ask(agents: &[AgentConfig]) -> Self {
        let (mut answers, asked) = (BTreeMap::new(), FuturesUnordered::<BoxFuture<'static, _>>::new());
        for config in agents {
            let name = config.name.clone();
            let (unknown, told) = ask(config);
            answers.insert(name.clone(), AgentAnswer::Unknown(unknown));
            asked.push(Box::pin(async move { (name, answer(told.await)) }));
        }
        Self { answers, asked }
    }

    /// Returns when all have answered, or at `by`.
    pub(super) async fn answered_by(&mut self, by: Instant) {
        while timeout_at(by, self.next()).await == Ok(true) {}
    }

    /// Waits for another answer; false when there will be none.
    pub(super) async fn next(&mut self) -> bool {
        let Some((name, answer)) = self.asked.next().await else { return false };
        self.answers.insert(name, answer);
        true
    }

    /// The agents that would get in each other's way, and those of which that is not known.
    pub(super) fn judged(&self) -> RefusedAgents {
        judged(&self.answers)
    }
}

fn judged(answers: &BTreeMap<AgentName, AgentAnswer>) -> RefusedAgents {
    let (mut known, mut refused) = (Vec::new(), RefusedAgents::new());
    for (name, answer) in answers {
        match answer {
            AgentAnswer::Found(resources) => known.extend(resources.clone()),
            AgentAnswer::Unknown(why) => _ = refused.insert(name.clone(), why.clone()),
        }
    }
    for conflict in conflicts::all(&known) {
        let why = AgentRefusal { reason: conflict.reason(), message: conflict.to_string(), is_configuration: true };
        for agent in conflict.agents() {
            refused.entry(agent.clone()).or_insert_with(|| why.clone());
        }
    }
    refused
}

/// Its resources; or nothing was told, because the thread ended in a panic.
fn answer(told: Option<Option<ExclusiveResources>>) -> AgentAnswer {
    const BUG: &str = "whether it shares a file with another agent is not known, because of a bug of this program; please report \
                       it with the log";
    let bug =
        || AgentAnswer::Unknown(AgentRefusal { reason: "panic", message: BUG.to_owned(), is_configuration: false });
    told.map_or_else(bug, AgentAnswer::Found)
}

/// What is to be said until it is known, and the answer; none when its thread ended in a panic.
fn ask(config: &AgentConfig) -> (AgentRefusal, BoxFuture<'static, Option<Option<ExclusiveResources>>>) {
    let (tell, told) = oneshot::channel();
    let (name, config) = (format!("files-{}", config.name), config.clone());
    let look = move || {
        let found = loop {
            match Agent::resolve(&config) {
                Err(AgentConfigError::Accounts { .. }) if !tell.is_closed() => std::thread::sleep(ACCOUNTS_AGAIN),
                found => break found.ok(),
            }
        };
        // Whoever asked may be gone: the program ends.
        let _ = tell.send(found.map(|agent| ExclusiveResources::found(&agent)));
    };
    match own_thread::begin(&name, look) {
        Ok(()) => (hangs(), Box::pin(async { told.await.ok() })),
        Err((error, look)) => {
            let answer = async move {
                own_thread::begin_when_possible(&name, look, |_| {}).await;
                told.await.ok()
            };
            (no_thread(&error), Box::pin(answer))
        }
    }
}

fn hangs() -> AgentRefusal {
    const HANGS: &str = "whether it shares a file with another agent is not known yet, because a file system hangs; it is taken \
                         when that answers";
    AgentRefusal { reason: "file_system_hangs", message: HANGS.to_owned(), is_configuration: false }
}

fn no_thread(error: &io::Error) -> AgentRefusal {
    AgentRefusal { reason: crate::rotation::NO_THREAD, message: error.to_string(), is_configuration: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::testing::native;

    fn resources(agent: &str, file: &str) -> ExclusiveResources {
        let yaml = format!(
            "{{name: {agent}, product: tls-service, keystore: {{certificateFile: {file}.crt, keyFile: {file}.key}}, \
             endpoint: {{address: '127.0.0.1:9'}}, service: {{stop: [/bin/{agent}, stop], start: [/bin/{agent}, start]}}}}"
        );
        let config = serde_yaml::from_str(&native(&yaml)).expect("a configuration");
        ExclusiveResources::written(&Agent::as_written(&config).expect("an agent"))
    }

    /// Holds A16, A6: an answer that comes late counts, whatever it is; an end without an answer is none.
    #[test]
    fn an_agent_is_judged_anew_when_its_answer_comes() {
        let name = |name: &str| -> AgentName { name.parse().expect("a name") };
        let reasons = |late: AgentAnswer| -> Vec<(String, &'static str)> {
            let answers = BTreeMap::from([
                (name("a"), answer(Some(Some(resources("a", "/srv/one"))))),
                (name("b"), late),
                (name("c"), answer(Some(None))),
            ]);
            judged(&answers).into_iter().map(|(agent, why)| (agent.to_string(), why.reason)).collect()
        };
        let both = |a, b| vec![("a".to_owned(), a), ("b".to_owned(), b)];
        assert_eq!(reasons(AgentAnswer::Unknown(hangs())), [("b".to_owned(), "file_system_hangs")]);
        assert_eq!(reasons(answer(Some(Some(resources("b", "/srv/other"))))), []);
        assert_eq!(reasons(answer(Some(Some(resources("b", "/srv/one"))))), both("shared_file", "shared_file"));
        assert_eq!(reasons(answer(None)), [("b".to_owned(), "panic")]);
    }
}
