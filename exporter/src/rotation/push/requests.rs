//! The requests of a push: one that has a key made, and one that delivers its chain.

use std::sync::Arc;

use jiff::Timestamp;
use kagiban_crds::host_api::{ChainDelivery, Refusal, RefusalReason, RotationOpen, RotationReport, Target};
use kagiban_keystore::KeyMaterial;
use tokio::time::Instant;

use super::backup::BackupError;
use super::key;
use super::restore::RestoreError;
use super::staging::{BackupPlace, StagingError};
use super::survey::survey;
use super::validate;
use crate::rotation::admission::refuse;
use crate::rotation::journal::{FileSwap, Record, Rotation};
use crate::rotation::live;
use crate::rotation::machine::{Event, Phase};
use crate::rotation::power::PowerUnsafe;
use crate::rotation::rotator::{
    CHAIN_DEADLINE, OpenedWith, Pending, Rotator, chain_digest, is_full, open_digest, storage_reason,
};

impl Rotator {
    /// Makes a key and answers with its CSR; `power` is whether it lets a service be stopped now, as for all orders.
    ///
    /// # Errors
    /// A refusal; no rotation has begun then.
    pub fn open(&mut self, request: &RotationOpen, power: Result<(), PowerUnsafe>) -> Result<RotationReport, Refusal> {
        self.read_fences()?;
        let admission = self.snapshot().admit_open(&self.host, request);
        if let Some(report) = self.replayed(admission, &request.target)? {
            return Ok(report);
        }
        let push = self.agent.push().ok_or_else(wrong_class)?;
        key::check(&request.certificate).map_err(|e| refuse(RefusalReason::Malformed, e.to_string()))?;
        power?;
        self.check_commands_for_request()?;
        survey(push, &request.keystore).map_err(|e| keystore_refused(&e))?;
        let _taking = self.host.deliveries.check(&self.agent.name)?;
        let key = key::make(&request.certificate).map_err(|e| refuse(RefusalReason::Internal, e.to_string()))?;

        let now = Timestamp::now();
        let Target { epoch, generation, .. } = request.target;
        let mut rotation = Rotation {
            csr: Some(key.csr.clone()),
            mark: request.mark.clone(),
            committed_before: self.record.rotation.as_ref().and_then(Rotation::last_committed),
            left_by_earlier: self.record.rotation.as_ref().map(Rotation::left_behind).unwrap_or_default(),
            ..Rotation::new(epoch, generation, open_digest(request), Phase::Requested)
        };
        rotation.log(now, String::new());
        rotation.state = Phase::Requested.after(Event::Done);
        rotation.log(now, String::new());
        let report = rotation.report();
        let record = Record {
            epoch: self.record.epoch.max(request.target.epoch),
            generation: request.target.generation,
            rotation: Some(rotation),
            ..self.record.clone()
        };
        self.commit(record, Some(&request.target))?;
        self.pending = Some(Pending {
            key,
            request: request.certificate.clone(),
            order: request.keystore.clone(),
            until: Instant::now() + CHAIN_DEADLINE,
            staging: None,
        });
        let password = request.keystore.store_password.clone();
        let wrong = Arc::default();
        self.opened_with = Some(OpenedWith { generation: request.target.generation, password, wrong });
        Ok(report)
    }

    /// Takes the issued chain; [`Rotator::advance`] then does the rest.
    ///
    /// # Errors
    /// A refusal; the rotation still waits for a chain then.
    pub fn deliver(
        &mut self,
        delivery: &ChainDelivery,
        power: Result<(), PowerUnsafe>,
    ) -> Result<RotationReport, Refusal> {
        self.read_fences()?;
        let admission = self.snapshot().admit_chain(&self.host, delivery);
        if let Some(report) = self.replayed(admission, &delivery.target)? {
            return Ok(report);
        }
        let (Some(pending), Some(rotation)) = (&self.pending, &self.record.rotation) else {
            return Err(refuse(RefusalReason::WrongState, "the key of this rotation is gone; open a new one"));
        };
        let now = Timestamp::now();
        let chain = validate::chain(&delivery.chain, &pending.key.spki, &pending.request, now)
            .map_err(|e| refuse(RefusalReason::ChainRefused, e.to_string()))?;
        power?;
        let material = KeyMaterial { pkcs8: pending.key.pkcs8.clone(), chain };
        let place = BackupPlace {
            state_directory: &self.host.state_directory,
            agent: &self.agent.name,
            generation: delivery.target.generation,
        };
        let push = self.agent.push().ok_or_else(wrong_class)?;
        let staging = survey(push, &pending.order)
            .and_then(|survey| survey.stage(push, &pending.order, &material, &place, now))
            .map_err(|e| keystore_refused(&e))?;

        let mut rotation = Rotation {
            epoch: rotation.epoch.max(delivery.target.epoch),
            chain_digest: Some(chain_digest(delivery)),
            leaf: material.chain.first().map(live::leaf),
            previous: staging.previous,
            files: staging.files.iter().map(|file| file.swap.clone()).collect(),
            state: Phase::Keyed.after(Event::Done),
            ..rotation.clone()
        };
        rotation.log(now, staging.note(push));
        let report = rotation.report();
        let epoch = self.record.epoch.max(delivery.target.epoch);
        let record = Record { epoch, rotation: Some(rotation), ..self.record.clone() };
        self.commit(record, Some(&delivery.target))?;
        if let Some(pending) = &mut self.pending {
            pending.staging = Some(staging);
        }
        Ok(report)
    }

    /// Everything of the rollback that takes space is done while the service runs: an order that does not fit on the disk is
    /// refused, and nothing is stopped for it.
    pub(in crate::rotation) fn prepare_rollback(&self) -> Result<Vec<FileSwap>, Refusal> {
        let refused = |error: RestoreError| match &error {
            RestoreError::Write(write) | RestoreError::Backup(BackupError::Write(write)) if is_full(write) => {
                refuse(RefusalReason::InsufficientStorage, error.to_string())
            }
            _ => refuse(RefusalReason::KeystoreRefused, error.to_string()),
        };
        self.record
            .check_room(&self.host.state_directory.journal(&self.agent.name))
            .map_err(|error| refuse(storage_reason(&error), error.to_string()))?;
        self.restoration().make_ready().map_err(refused)
    }
}

fn keystore_refused(error: &StagingError) -> Refusal {
    let reason = match error {
        StagingError::Write(error) if is_full(error) => RefusalReason::InsufficientStorage,
        _ => RefusalReason::KeystoreRefused,
    };
    refuse(reason, error.to_string())
}

fn wrong_class() -> Refusal {
    let message =
        "this agent takes no key and chain: it renews its own certificate, or is only repaired; send it a renewal";
    refuse(RefusalReason::WrongClass, message)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::rotation::scene::{TRUE, open, rotator};

    /// Set in the process whose mounts are its own.
    const ALONE: &str = "KAGIBAN_TEST_OWN_MOUNTS";
    const THIS: &str = "rotation::push::requests::tests::no_key_is_made_for_a_directory_whose_mount_is_still_to_come";

    fn mount_memory(at: &str) {
        let status = Command::new("mount").args(["-t", "tmpfs", "none", at]).status();
        assert!(status.expect("install the package mount").success(), "run it as root, with CAP_SYS_ADMIN");
    }

    /// Holds A5: the first rotation of an agent, before its file system is mounted. The key would stay below the mount.
    #[test]
    fn no_key_is_made_for_a_directory_whose_mount_is_still_to_come() {
        if std::env::var_os(ALONE).is_none() {
            let this = std::env::current_exe().expect("this program");
            let mut alone = Command::new("unshare");
            let alone = alone.arg("--mount").arg(this).args(["--exact", THIS, "--nocapture"]).env(ALONE, "1");
            return assert!(alone.status().expect("install the package util-linux").success());
        }
        mount_memory("/run");
        let (agent, units) = (Path::new("/run/agent"), Path::new("/run/systemd/system"));
        for directory in [agent, units] {
            fs::create_dir_all(directory).expect("mkdir");
        }
        fs::write(units.join("run-agent.mount"), "[Mount]\nWhat=/dev/sdz1\nWhere=/run/agent\n").expect("written");
        {
            let (mut rotator, _lock) = rotator(agent, TRUE);
            let refused = rotator.open(&open(), Ok(())).expect_err("not mounted");
            assert_eq!(refused.reason, RefusalReason::KeystoreRefused);
            assert!(refused.message.contains("is to be mounted at /run/agent"), "{refused:?}");
            assert!(rotator.record.rotation.is_none() && rotator.pending.is_none());
        }
        mount_memory("/run/agent");
        let (mut rotator, _lock) = rotator(agent, TRUE);
        rotator.open(&open(), Ok(())).expect("mounted");
    }
}
