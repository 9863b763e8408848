//! The one request of a renewal.

use jiff::Timestamp;
use kagiban_crds::host_api::{Refusal, RefusalReason, RenewalOrder, RotationReport, Target};

use super::renewal::Renewal;
use crate::rotation::admission::refuse;
use crate::rotation::agent::{Procedure, Trigger};
use crate::rotation::journal::{Record, Rotation};
use crate::rotation::machine::Phase;
use crate::rotation::power::PowerUnsafe;
use crate::rotation::rotator::{Rotator, renewal_digest};

impl Rotator {
    /// Has the agent renew its own certificate, or be repaired; [`Rotator::advance`] then does it.
    ///
    /// # Errors
    /// A refusal; no rotation has begun then.
    pub fn renew(&mut self, order: &RenewalOrder, power: Result<(), PowerUnsafe>) -> Result<RotationReport, Refusal> {
        self.read_fences()?;
        let admission = self.snapshot().admit_renewal(&self.host, order);
        if let Some(report) = self.replayed(admission, &order.target)? {
            return Ok(report);
        }
        if let Procedure::Push(_) = &self.agent.procedure {
            let message = "this agent takes a key and a chain, and renews nothing by itself; open a rotation";
            return Err(refuse(RefusalReason::WrongClass, message));
        }
        power?;
        self.check_commands_for_request()?;
        let _taking = self.host.deliveries.check(&self.agent.name)?;
        let Target { epoch, generation, .. } = order.target;
        let mut rotation = Rotation {
            mark: order.mark.clone(),
            committed_before: self.record.rotation.as_ref().and_then(Rotation::last_committed),
            left_by_earlier: self.record.rotation.as_ref().map(Rotation::left_behind).unwrap_or_default(),
            ..Rotation::new(epoch, generation, renewal_digest(), Phase::Renewal { step: Renewal::Ordered })
        };
        rotation.log(Timestamp::now(), String::new());
        let report = rotation.report();
        let record =
            Record { epoch: self.record.epoch.max(epoch), generation, rotation: Some(rotation), ..self.record.clone() };
        self.commit(record, Some(&order.target))?;
        Ok(report)
    }

    /// # Errors
    /// A refusal where nothing could bring back what a renewal has replaced.
    pub(in crate::rotation) fn check_rollback(&self) -> Result<(), Refusal> {
        if self.is_repaired() || self.is_of_repair() {
            let message = "this agent is repaired, and nothing brings back what was there before";
            return Err(refuse(RefusalReason::KeystoreRefused, message));
        }
        match &self.agent.procedure {
            Procedure::Trigger(Trigger { back: None, .. }) => {
                let message = "this agent has nothing that brings its certificate back: renew.back is not configured";
                Err(refuse(RefusalReason::KeystoreRefused, message))
            }
            Procedure::Trigger(_) | Procedure::Push(_) | Procedure::Repair(_) => Ok(()),
        }
    }
}
