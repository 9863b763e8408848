//! What a renewal does in each state: runs the product's program, looks at what is served, and brings back what was there.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::Leaf;
use tokio::time::{Instant, sleep};

use super::renewal::{Renewal, SeenLeaf, ServedLeaf};
use crate::rotation::agent::{Procedure, Trigger, Verify};
use crate::rotation::cause::Cause;
use crate::rotation::hold::Hold;
use crate::rotation::live;
use crate::rotation::machine::{Standing, State};
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

    /// Runs what brings back what was there before, where the product has such a program. A service that serves the leaf from
    /// before is left alone, unless somebody has ordered it: the program may have changed nothing, and what brings back may know
    /// only an older state than this one.
    pub(in crate::rotation) async fn revert(&mut self) -> Result<(), Cause> {
        self.await_earlier_start().await;
        let before = match self.step() {
            Some(Renewal::Reverting { before, by_order: false, .. }) => *before,
            _ => None,
        };
        if let Some(before) = before
            && self.serves(before).await
        {
            return Ok(());
        }
        let Trigger { back, timeout, .. } = self.trigger()?.clone();
        let Some(back) = back else { return Ok(()) };
        self.run_noted(&back, timeout).await.map_err(|error| Cause::new("revert_failed", error.to_string()))
    }

    /// Whether the service serves a leaf that will do. One that is down is started, where that is configured; one that was
    /// broken before is not asked to serve.
    pub(in crate::rotation) async fn settle(&mut self) -> Result<(), Cause> {
        self.await_earlier_start().await;
        let must_serve = self.step().and_then(Renewal::before).is_some() || self.leaf_to_go().is_some();
        let patient = self.agent.verify.on_the_way_back();
        let half = Verify { deadline: patient.deadline / 2, ..patient };
        let is_down = live::is_down(&self.agent.endpoint).await;
        let started = if is_down { self.start("start_failed_after_renewal").await } else { Ok(()) };
        if !must_serve {
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

    /// Whether that leaf is served now, and for as long as the hold-down asks.
    async fn serves(&self, wanted: LeafSha256) -> bool {
        let other = || Cause::new("other_leaf_served", "another leaf than the one from before is served");
        let check = |leaf: &Leaf| if leaf.sha256 == wanted { Ok(()) } else { Err(other()) };
        self.held(Verify { deadline: Duration::ZERO, ..self.agent.verify }, check).await.is_ok()
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
        match self.record.rotation.as_ref().map(|rotation| &rotation.state) {
            Some(
                State::Renewal { step: Renewal::Settling { by_order: true, .. } }
                | State::Frozen { standing: Standing::NewMustGo, .. },
            ) => self.new_leaf(),
            _ => None,
        }
    }

    /// Waits until a leaf is served that passes `check`, and then for as long as the hold-down asks, at every look.
    async fn held(&self, verify: Verify, check: impl Fn(&Leaf) -> Result<(), Cause>) -> Result<Leaf, Cause> {
        let mut hold = Hold::new(Instant::now() + verify.deadline, verify.hold_down);
        loop {
            let looked = live::look(&self.agent.endpoint).await.map(|certificate| live::leaf(&certificate));
            let passed = match looked {
                Ok(leaf) => check(&leaf).map(|()| leaf),
                Err(error) => Err(Cause::new(error.reason(), error.to_string())),
            };
            let seen_last = hold.last();
            let Some(is_held) = hold.after(passed.as_ref().ok().map(|leaf| leaf.sha256), Instant::now()) else {
                sleep(verify.interval).await;
                continue;
            };
            return match (passed, seen_last) {
                (Ok(leaf), Some(other)) if !is_held => {
                    let message = format!(
                        "the endpoint serves {other} and {} in turn; see whether several processes answer on its port",
                        leaf.sha256
                    );
                    Err(Cause::new("other_leaf_served", message))
                }
                (passed, _) => passed,
            };
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
