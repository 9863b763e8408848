//! A standalone operator is killed at random moments and started again: each asked rotation is done once, the agent is restarted
//! once for it, and hosts hear a higher epoch from each process.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kagiban_tests::keeper::Keeper;
use kagiban_tests::keystore::StoreType;
use kagiban_tests::operator::Operator;
use kagiban_tests::stage::{RESYNC, Scene, Stage};

/// Rotations, and kills within each. A rotation takes three seconds or four.
const ROTATIONS: u64 = 5;
const KILLS: usize = 3;
const LONGEST: u16 = 1500;

#[test]
fn killed_at_random_it_rotates_once_for_each_word_and_its_epoch_grows() -> Result<()> {
    let scene = Scene {
        store_type: StoreType::Jks,
        password: "store-password".to_owned(),
        deletes_credentials: false,
        secret_password: None,
    };
    let mut stage = Stage::set_standalone("standalone-crash", &scene)?;
    let Keeper::Standalone(standalone) = &stage.keeper else { bail!("a stage with a cluster") };
    let standalone = standalone.clone();
    let mut epoch = standalone.epoch()?;
    let mut pauses = Vec::new();
    for generation in 1..=ROTATIONS {
        let starts = stage.host.agent.starts();
        if generation == 1 {
            stage.apply()?;
        } else {
            stage.annotate(&generation.to_string())?;
        }
        for _ in 0..KILLS {
            let mut random = [0; 2];
            aws_lc_rs::rand::fill(&mut random)?;
            let pause = Duration::from_millis((u16::from_ne_bytes(random) % LONGEST).into());
            pauses.push(pause.as_millis());
            thread::sleep(pause);
            stage.operator.program.kill()?;
            stage.operator = Operator::start_standalone(stage.directory(), &standalone, RESYNC, &[])?;
            let next = standalone.epoch()?;
            ensure!(next > epoch, "epoch {next} after {epoch}");
            epoch = next;
        }
        let status = stage.wait_committed(generation).with_context(|| format!("killed after {pauses:?} ms"))?;
        let leaf = stage.host.agent.served()?.leaf_sha256();
        ensure!(status["leaf"]["sha256"] == leaf.as_str(), "{pauses:?}: {leaf} is served: {status:#}");
        ensure!(status["rotation"]["generation"] == generation, "{pauses:?}: a generation was lost: {status:#}");
        let restarts = stage.host.agent.starts() - starts;
        ensure!(restarts == 1, "{pauses:?}: the agent was restarted {restarts} times for generation {generation}");
    }
    Ok(())
}
