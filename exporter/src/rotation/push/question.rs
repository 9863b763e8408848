//! Whether the agent works with a password that somebody names. Nothing is written, and no number is accepted.

use kagiban_crds::host_api::{PasswordQuestion, PasswordReport, Refusal};

use super::coherence;
use crate::rotation::rotator::Rotator;

impl Rotator {
    /// # Errors
    /// A refusal while a rotation changes the files, or to a request that is not for this agent or comes too late.
    pub(in crate::rotation) fn password_in_force(
        &self,
        question: &PasswordQuestion,
    ) -> Result<PasswordReport, Refusal> {
        self.snapshot().admit_question(&self.host, question)?;
        let PasswordQuestion { alias, store_password, .. } = question;
        let is_in_force =
            self.agent.push().map_or(Ok(None), |push| coherence::is_in_force(push, alias.as_deref(), store_password));
        Ok(match is_in_force {
            Ok(Some(true)) => PasswordReport::Same,
            Ok(Some(false)) => PasswordReport::Different,
            Ok(None) => PasswordReport::NotKnown {
                reason: "no_password".to_owned(),
                message: "no password protects what this agent's key lies in".to_owned(),
            },
            Err(error) => PasswordReport::NotKnown { reason: error.reason().to_owned(), message: error.to_string() },
        })
    }
}
