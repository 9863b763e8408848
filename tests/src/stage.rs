//! The whole product on one machine: a namespace of the shared control plane, or a directory in its place, a fleet of one host, an
//! operator.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::audit;
use crate::control_plane::{ControlPlane, OPERATOR_ACCOUNT};
use crate::host::Host;
use crate::keeper::Keeper;
use crate::keystore::StoreType;
use crate::kubectl::Kubectl;
use crate::operator::Operator;
use crate::powerchute::Installation;
use crate::quickstart::{self, CLIENT_SECRET, Fleet, HOST, Secret};
use crate::scratch;
use crate::standalone::Standalone;
use crate::wait;

/// Short, so that what happens at rest is seen in seconds.
pub const RESYNC: Duration = Duration::from_secs(2);
/// Ten times what a rotation takes on an idle machine.
const ROTATION_DEADLINE: Duration = Duration::from_secs(420);
/// For an operator that is to be killed on its way.
const CRASH_DEADLINE: Duration = Duration::from_secs(90);

/// What is on the stage before the resource is applied.
#[derive(Clone, Debug)]
pub struct Scene {
    pub store_type: StoreType,
    /// The store's password as the agent is found.
    pub password: String,
    /// The agent removes the password from its INI file once it has read it.
    pub deletes_credentials: bool,
    /// The password in the Secret that the resource names; without one it names none.
    pub secret_password: Option<String>,
}

/// Whoever keeps the resources: what is asked of it is the same.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Cluster,
    Standalone,
}

/// A host, an operator and a namespace of their own.
#[derive(Debug)]
pub struct Stage {
    pub keeper: Keeper,
    pub namespace: String,
    pub fleet: Fleet,
    /// The key with which the operator shows itself to hosts.
    pub client_key: String,
    // Before the host: it must not push while the host goes away.
    pub operator: Operator,
    pub host: Host,
    /// The leaf that was served before anything was rotated.
    pub first_leaf: String,
    directory: PathBuf,
    names_secret: bool,
}

impl Stage {
    /// In either place, with a name of its own there.
    pub fn set_at(place: Place, name: &str, scene: &Scene) -> Result<Self> {
        match place {
            Place::Cluster => Self::set(name, scene),
            Place::Standalone => Self::set_standalone(&format!("{name}-standalone"), scene),
        }
    }

    /// Agent, exporter and operator run; nothing is applied yet.
    pub fn set(name: &str, scene: &Scene) -> Result<Self> {
        let plane = ControlPlane::shared()?;
        Self::set_for(name, scene, plane.operator_kubeconfig())
    }

    /// The same, with an operator that reaches the API server by another kubeconfig.
    pub fn set_for(name: &str, scene: &Scene, kubeconfig: &Path) -> Result<Self> {
        let admin = ControlPlane::shared()?.admin()?;
        let kubectl = admin.create_namespace(name)?;
        quickstart::install_rbac(&admin, name)?;
        let begin = |directory: &Path, secrets: &[Secret]| {
            let operator = Operator::start_with_log(directory, kubeconfig, name, RESYNC, "debug")?;
            let keeper = Keeper::Cluster(kubectl);
            keeper.add_secrets(secrets)?;
            Ok((operator, keeper))
        };
        Self::set_with(name, scene, begin)
    }

    /// The same without a cluster: the operator has directories of its own.
    pub fn set_standalone(name: &str, scene: &Scene) -> Result<Self> {
        let begin = |directory: &Path, secrets: &[Secret]| {
            let standalone = Standalone::new(directory)?;
            standalone.write_secrets(secrets)?;
            let operator = Operator::start_standalone(directory, &standalone, RESYNC, &["--log-level", "debug"])?;
            Ok((operator, Keeper::Standalone(standalone)))
        };
        Self::set_with(name, scene, begin)
    }

    fn set_with(
        name: &str,
        scene: &Scene,
        begin: impl FnOnce(&Path, &[Secret]) -> Result<(Operator, Keeper)>,
    ) -> Result<Self> {
        let directory = scratch::directory(name)?;
        let fleet = Fleet::new()?;
        let installation = Installation {
            store_type: scene.store_type,
            password: scene.password.clone(),
            host_name: HOST.to_owned(),
            deletes_credentials: scene.deletes_credentials,
            usual_ports: false,
        };
        let mut host = Host::install(&directory.join("host"), &installation, &fleet)?;
        host.agent.start()?;
        let first_leaf = host.agent.served()?.leaf_sha256();
        // A secret that is logged at all is found in these logs.
        host.log_everything();
        host.start_exporter()?;
        let secrets = fleet.secrets(scene.secret_password.as_deref().unwrap_or("not-used"))?;
        let of_client = secrets.iter().find(|secret| secret.name == CLIENT_SECRET).context("no client Secret")?;
        let client_key = of_client.values.iter().find(|(key, _)| *key == "tls.key").context("no key")?.1.clone();
        let (operator, keeper) = begin(&directory, &secrets)?;
        Ok(Self {
            keeper,
            namespace: name.to_owned(),
            fleet,
            client_key,
            operator,
            host,
            first_leaf,
            directory,
            names_secret: scene.secret_password.is_some(),
        })
    }

    /// For what only a cluster has.
    ///
    /// # Panics
    /// On a stage without one.
    pub fn kubectl(&self) -> &Kubectl {
        match &self.keeper {
            Keeper::Cluster(kubectl) => kubectl,
            Keeper::Standalone(_) => panic!("this stage has no cluster"),
        }
    }

    /// The example's resource, for this stage.
    pub fn resource(&self) -> Result<Value> {
        let mut resource = quickstart::resource(&self.host.url())?;
        if !self.names_secret {
            resource["spec"]["keystore"] = json!({});
        }
        Ok(resource)
    }

    pub fn apply(&self) -> Result<()> {
        self.keeper.apply(&self.resource()?)
    }

    pub fn status(&self) -> Result<Value> {
        self.keeper.status()
    }

    /// Waits until this generation is committed and the resource is ready; its status.
    pub fn wait_committed(&self, generation: u64) -> Result<Value> {
        let committed = self.wait_status(|status| {
            status["rotation"]["generation"].as_u64() >= Some(generation)
                && status["rotation"]["state"] == "Committed"
                && condition(status, "Ready")["status"] == "True"
        });
        committed.with_context(|| format!("generation {generation} was not committed"))
    }

    /// Waits until the operator, which is to be killed, is gone, or the rotation is through without that; whether it is gone.
    pub fn died_or_committed(&mut self, generation: u64) -> Result<bool> {
        let mut died = false;
        wait::until(CRASH_DEADLINE, || {
            died = !self.operator.program.is_running();
            died || self.status().is_ok_and(|s| {
                s["rotation"]["generation"].as_u64() == Some(generation) && s["rotation"]["state"] == "Committed"
            })
        })?;
        if !died {
            // The events that follow the last write of the status.
            std::thread::sleep(RESYNC);
            died = !self.operator.program.is_running();
        }
        Ok(died)
    }

    /// Asks for a rotation, as a person would.
    pub fn annotate(&self, value: &str) -> Result<()> {
        self.keeper.rotate(value)
    }

    /// Waits until the status is as wanted; it.
    pub fn wait_status(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.keeper.wait_status(ROTATION_DEADLINE, wanted)
    }

    /// How often the operator has written in this namespace, heartbeats left out.
    pub fn writes(&self) -> Result<usize> {
        match &self.keeper {
            Keeper::Cluster(_) => {
                let log = ControlPlane::shared()?.audit_log();
                Ok(audit::writes(&log, OPERATOR_ACCOUNT, &self.namespace)?.len())
            }
            // One that makes the resource is a person's
            Keeper::Standalone(standalone) => Ok(standalone.writes()?.saturating_sub(1)),
        }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// The condition of this type, or null.
pub fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().find(|c| c["type"] == kind).unwrap_or(&Value::Null)
}
