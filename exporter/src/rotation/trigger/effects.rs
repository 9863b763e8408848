//! What a renewal does in each state: runs the product's program, looks at what is served, and brings back what was there.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::Leaf;
use tokio::time::{Instant, sleep};

use super::renewal::{Renewal, SeenLeaf, ServedLeaf};
use crate::rotation::agent::{Procedure, Trigger, Verify};
use crate::rotation::cause::Cause;
use crate::rotation::live;
use crate::rotation::machine::State;
use crate::rotation::rotator::Rotator;

impl Rotator {
    /// Runs the product's program, which an earlier run of this one has not begun.
    pub(in crate::rotation) async fn run_renewal(&mut self) -> Result<(), Cause> {
        let Trigger { renew, timeout, .. } = self.trigger()?.clone();
        self.record.last_restart = Some(Timestamp::now());
        self.run_noted(&renew, timeout).await.map_err(|error| Cause::new("renew_failed", error.to_string()))
    }

    /// Waits until a renewed leaf is served, and then for as long as the hold-down asks.
    pub(in crate::rotation) async fn prove(&mut self) -> Result<(), Cause> {
        // The program of a run that has crashed may go on.
        self.await_earlier_start().await;
        let before = match self.step() {
            Some(Renewal::Proving { before }) => *before,
            _ => None,
        };
        let leaf = self.held(self.agent.verify, |leaf| check_renewed(leaf, before.as_ref())).await?;
        if let Some(rotation) = &mut self.record.rotation {
            rotation.leaf = Some(leaf);
        }
        Ok(())
    }

    /// Runs what brings back what was there before, where the product has such a program.
    pub(in crate::rotation) async fn revert(&mut self) -> Result<(), Cause> {
        self.await_earlier_start().await;
        let Trigger { back, timeout, .. } = self.trigger()?.clone();
        let Some(back) = back else { return Ok(()) };
        self.run_noted(&back, timeout).await.map_err(|error| Cause::new("revert_failed", error.to_string()))
    }

    /// Whether the service serves a leaf that will do. One that is down is started, where that is configured; one that was
    /// broken before is not asked to serve.
    pub(in crate::rotation) async fn settle(&mut self) -> Result<(), Cause> {
        self.await_earlier_start().await;
        let was_served = self.step().and_then(Renewal::before).is_some();
        let patient = self.agent.verify.on_the_way_back();
        let half = Verify { deadline: patient.deadline / 2, ..patient };
        let is_down = live::is_down(&self.agent.endpoint).await;
        let started = if is_down { self.start("start_failed_after_renewal").await } else { Ok(()) };
        if !was_served {
            return started;
        }
        if self.settled(half).await.is_ok() {
            return Ok(());
        }
        if live::is_down(&self.agent.endpoint).await
            && let Err(error) = self.start("start_failed_after_renewal").await
        {
            tracing::warn!(agent = %self.agent.name, error = error.message, "the agent is down, and was not started");
        }
        self.settled(half).await
    }

    /// For a freeze: whether a leaf that will do is served now, and for as long as the hold-down asks.
    pub(in crate::rotation) async fn look_for_one_that_will_do(&mut self) -> Result<(), Cause> {
        self.settled(Verify { deadline: Duration::ZERO, ..self.agent.verify }).await
    }

    async fn settled(&self, verify: Verify) -> Result<(), Cause> {
        let before = self.record.rotation.as_ref().and_then(|rotation| rotation.previous);
        let unless = self.leaf_to_go();
        let will_do = |leaf: &Leaf| {
            let message = "the endpoint serves a leaf that has ended, or the one that shall go";
            let will_do = seen(leaf).will_do(before, unless, Timestamp::now());
            will_do.then_some(()).ok_or_else(|| Cause::new("other_leaf_served", message))
        };
        self.held(verify, will_do).await.map(drop)
    }

    /// The renewed leaf, where somebody has asked for the one before.
    fn leaf_to_go(&self) -> Option<LeafSha256> {
        match self.step() {
            Some(Renewal::Settling { by_order: true, .. }) => self.new_leaf(),
            _ => None,
        }
    }

    /// Waits until a leaf is served that passes `check`, and then for as long as the hold-down asks, at every look.
    async fn held(&self, verify: Verify, check: impl Fn(&Leaf) -> Result<(), Cause>) -> Result<Leaf, Cause> {
        let deadline = Instant::now() + verify.deadline;
        let mut held: Option<(LeafSha256, Instant)> = None;
        loop {
            let looked = live::look(&self.agent.endpoint).await.map(|certificate| live::leaf(&certificate));
            let now = Instant::now();
            let passed = match looked {
                Ok(leaf) => check(&leaf).map(|()| leaf),
                Err(error) => Err(Cause::new(error.reason(), error.to_string())),
            };
            match passed {
                Ok(leaf) => {
                    let (_, since) = *held.filter(|(same, _)| *same == leaf.sha256).get_or_insert((leaf.sha256, now));
                    if now.duration_since(since) >= verify.hold_down {
                        return Ok(leaf);
                    }
                    held = Some((leaf.sha256, since));
                }
                // A leaf that is there at the deadline still gets its hold-down; one that comes and goes does not start again.
                Err(why) if now >= deadline => return Err(why),
                Err(_) => held = None,
            }
            sleep(verify.interval).await;
        }
    }

    fn step(&self) -> Option<&Renewal> {
        match self.record.rotation.as_ref().map(|rotation| &rotation.state) {
            Some(State::Renewal { step }) => Some(step),
            _ => None,
        }
    }

    fn trigger(&self) -> Result<&Trigger, Cause> {
        match &self.agent.procedure {
            Procedure::Trigger(trigger) => Ok(trigger),
            Procedure::Push(_) => {
                let message = "the configuration has the agent as one whose files are replaced now; its renewal is not gone on with";
                Err(Cause::new("not_configured", message))
            }
        }
    }
}

fn seen(leaf: &Leaf) -> SeenLeaf {
    SeenLeaf { sha256: leaf.sha256, not_before: leaf.not_before, not_after: leaf.not_after }
}

fn check_renewed(leaf: &Leaf, before: Option<&ServedLeaf>) -> Result<(), Cause> {
    seen(leaf).check_renewed(before, Timestamp::now())
}
