//! The operator is killed on either side of every write it makes, and started again: the end is always the same, and the
//! agent is restarted once, whatever happened in between.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::crash_proxy::{CrashProxy, Moment};
use kagiban_tests::keystore::StoreType;
use kagiban_tests::operator::Operator;
use kagiban_tests::scratch;
use kagiban_tests::stage::{RESYNC, Scene, Stage};

/// More than a rotation writes: the sweep ends at the first number that is not reached.
const MOST_WRITES: usize = 12;

#[test]
fn killed_before_a_write_arrives_it_converges() -> Result<()> {
    sweep("crash-before", Moment::BeforeTheServerSeesIt)
}

#[test]
fn killed_before_it_hears_the_answer_it_converges() -> Result<()> {
    sweep("crash-after", Moment::BeforeTheAnswerIsHeard)
}

fn sweep(name: &str, moment: Moment) -> Result<()> {
    let plane = ControlPlane::shared()?;
    let proxy = CrashProxy::start(plane.operator_kubeconfig(), &scratch::directory(name)?)?;
    let scene = Scene {
        store_type: StoreType::Jks,
        password: "store-password".to_owned(),
        deletes_credentials: false,
        secret_password: None,
    };
    let mut stage = Stage::set_for(name, &scene, proxy.kubeconfig())?;
    let kubeconfig: PathBuf = proxy.kubeconfig().to_owned();
    let mut starts = stage.host.agent.starts();
    for write in 1..=MOST_WRITES {
        // The first rotation comes from applying the resource, the others from the annotation.
        proxy.kill_at(stage.operator.program.id(), write, moment);
        if write == 1 {
            stage.apply()?;
        } else {
            stage.annotate(&write.to_string())?;
        }
        let generation = u64::try_from(write)?;
        let died = stage.died_or_committed(generation)?;
        if died {
            stage.operator = Operator::start(stage.directory(), &kubeconfig, &stage.namespace, RESYNC)?;
        }
        let status =
            stage.wait_committed(generation).with_context(|| format!("killed at write {write}, {moment:?}"))?;
        let leaf = stage.host.agent.served()?.leaf_sha256();
        ensure!(status["leaf"]["sha256"] == leaf.as_str(), "write {write}: {leaf} is served: {status:#}");
        ensure!(status["rotation"]["generation"] == generation, "write {write}: a generation was lost: {status:#}");
        let restarts = stage.host.agent.starts() - starts;
        ensure!(restarts == 1, "write {write}: the agent was restarted {restarts} times");
        starts = stage.host.agent.starts();
        if !died {
            ensure!(write > 3, "only {} writes were seen: the sweep saw nothing", write - 1);
            return Ok(());
        }
    }
    anyhow::bail!("more than {MOST_WRITES} writes for one rotation")
}
