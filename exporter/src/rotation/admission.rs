//! Whether a request is taken: pure, in the order in which its parts are looked at.

use kagiban_crds::host_api::{Refusal, RefusalReason, RotationReport, Target};
use kagiban_crds::{AgentName, Epoch, Generation, HostName};

use super::digest::Digest;
use super::journal::{Record, Rotation};
use super::machine::State;

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    Proceed,
    /// The same was asked before; the answer is what became of it.
    Replay(Box<RotationReport>),
    Refused(Refusal),
}

/// Whom a request speaks to: this agent on this host, at the highest epoch that was accepted here.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a> {
    pub host: &'a HostName,
    pub agent: &'a AgentName,
    pub epoch: Epoch,
    pub record: &'a Record,
}

impl Door<'_> {
    /// A request to open a rotation; `digest` and `same_password` compare its contents to the newest rotation's.
    pub fn open(&self, target: &Target, digest: Digest, same_password: bool) -> Admission {
        if let Err(refusal) = self.check(target) {
            return Admission::Refused(refusal);
        }
        let stands_at = self.record.generation;
        if target.generation < stands_at || target.generation == Generation(0) {
            return Admission::Refused(self.stale_generation(target.generation));
        }
        let Some(newest) = &self.record.rotation else { return Admission::Proceed };
        if target.generation == newest.generation {
            return if newest.open_digest == digest && same_password {
                Admission::Replay(Box::new(newest.report()))
            } else {
                Admission::Refused(refuse(
                    RefusalReason::GenerationConflict,
                    format!("generation {stands_at} was opened with other contents; take the next generation"),
                ))
            };
        }
        if let State::Frozen { failure, .. } = &newest.state {
            let message = format!(
                "the agent is frozen ({}); bring its service to life, remove the agent's journal file from the state \
                 directory, and restart kagiban-exporter",
                failure.message
            );
            return Admission::Refused(refuse(RefusalReason::Frozen, message));
        }
        if !newest.state.is_decided() {
            let message = format!("generation {} is not decided yet; wait for it or roll it back", newest.generation);
            let refusal = refuse(RefusalReason::RotationInProgress, message);
            return Admission::Refused(Refusal { generation: Some(newest.generation), ..refusal });
        }
        Admission::Proceed
    }

    /// A chain for an open rotation.
    pub fn deliver(&self, target: &Target, digest: Digest) -> Admission {
        let rotation = match self.addressed(target) {
            Ok(rotation) => rotation,
            Err(refusal) => return Admission::Refused(refusal),
        };
        match rotation.chain_digest {
            Some(accepted) if accepted == digest => Admission::Replay(Box::new(rotation.report())),
            Some(_) => Admission::Refused(refuse(
                RefusalReason::GenerationConflict,
                format!("generation {} was given another chain; take the next generation", rotation.generation),
            )),
            None if rotation.state == State::Keyed => Admission::Proceed,
            None => Admission::Refused(refuse(
                RefusalReason::WrongState,
                format!("generation {} takes no chain: {}", rotation.generation, standing(rotation)),
            )),
        }
    }

    /// An order to put the previous keystore back.
    pub fn roll_back(&self, target: &Target) -> Admission {
        let rotation = match self.addressed(target) {
            Ok(rotation) => rotation,
            Err(refusal) => return Admission::Refused(refusal),
        };
        match &rotation.state {
            State::Keyed | State::Committed { .. } => Admission::Proceed,
            State::RolledBack { .. } => Admission::Replay(Box::new(rotation.report())),
            State::Frozen { .. } => {
                let message = "the agent is frozen: going back has failed already; a person must look";
                Admission::Refused(refuse(RefusalReason::Frozen, message))
            }
            _ => Admission::Refused(refuse(
                RefusalReason::WrongState,
                format!("generation {} is on its way; wait until it is decided", rotation.generation),
            )),
        }
    }

    /// The rotation that a request is about: only the newest can be worked on.
    fn addressed(&self, target: &Target) -> Result<&Rotation, Refusal> {
        self.check(target)?;
        if target.generation < self.record.generation {
            return Err(self.stale_generation(target.generation));
        }
        self.record.rotation.as_ref().filter(|rotation| rotation.generation == target.generation).ok_or_else(|| {
            refuse(RefusalReason::NotFound, format!("there is no rotation of generation {}", target.generation))
        })
    }

    fn check(&self, target: &Target) -> Result<(), Refusal> {
        if (&target.host, &target.agent) != (self.host, self.agent) {
            let message =
                format!("meant for {} on {}, this is {} on {}", target.agent, target.host, self.agent, self.host);
            return Err(refuse(RefusalReason::WrongTarget, message));
        }
        if target.epoch < self.epoch {
            let message = format!("epoch {} speaks no more, {} does", target.epoch, self.epoch);
            let refusal = refuse(RefusalReason::StaleEpoch, message);
            return Err(Refusal { epoch: Some(self.epoch), ..refusal });
        }
        Ok(())
    }

    fn stale_generation(&self, asked: Generation) -> Refusal {
        let stands_at = self.record.generation;
        let message = format!("generation {asked} is over, the agent stands at {stands_at}; take a higher one");
        Refusal { generation: Some(stands_at), ..refuse(RefusalReason::StaleGeneration, message) }
    }
}

pub fn refuse(reason: RefusalReason, message: impl Into<String>) -> Refusal {
    Refusal { reason, message: message.into(), epoch: None, generation: None }
}

fn standing(rotation: &Rotation) -> String {
    match rotation.state.failure() {
        Some(failure) => failure.message,
        None => "it is on its way".to_owned(),
    }
}
