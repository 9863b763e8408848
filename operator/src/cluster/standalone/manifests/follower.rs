//! Has the state follow the directory: from time to time all of it is looked at, and what is new is put into the state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kagiban_process::threads::POOL;
use serde_json::Value;
use tokio::sync::watch as signal;
use tokio::time::{sleep, timeout};

use super::contents::{Key, Problem};
use super::declared::{declared, located, named_twice};
use super::directory::{Directory, Look, LookError};
use super::gone::{HeldDeletions, Missing, Verdict};
use crate::cluster::standalone::admission::Admission;
use crate::cluster::standalone::secrets::Secrets;
use crate::cluster::standalone::store::{Applied, Store, Stored};
use crate::cluster::standalone::{Places, RESOURCE};
use crate::cluster::{ClusterError, key_of};
use crate::foreign::told;
use crate::manifest_health::{ManifestSigns, Signs};
use crate::mends::make_private;
use crate::metrics::SharedMetrics;

/// A look that takes longer is told of, and what the state has is worked on meanwhile. A mount that hangs may hang for hours.
const LOOK_DEADLINE: Duration = Duration::from_secs(30);
/// Resources that are written in one transaction; others wait for their turn between two.
const BATCH: usize = 64;
/// Problems that are logged at once; the number of all is a metric.
const MOST_TOLD: usize = 50;

/// Follows one directory.
pub(in crate::cluster::standalone) struct Follower {
    directory: Option<Directory>,
    store: Store,
    admission: Arc<Admission>,
    secrets: Arc<Secrets>,
    metrics: SharedMetrics,
    /// Whether whatever is gone at the first look is meant to be.
    confirmed: bool,
    held: HeldDeletions,
    missing: Missing,
    /// Whether something is left to do although no file changes.
    unfinished: bool,
    problems: BTreeSet<Problem>,
    /// Said once: links, kinds of others, and as warnings files that are open.
    remarks: BTreeSet<(bool, String)>,
    signs: ManifestSigns,
}

/// What a round has found.
struct Round {
    problems: BTreeSet<Problem>,
    verdict: Verdict,
    held: Signs,
    unfinished: bool,
}

impl Follower {
    pub(in crate::cluster::standalone) fn new(
        places: &Places,
        store: Store,
        admission: Arc<Admission>,
        secrets: Arc<Secrets>,
        metrics: SharedMetrics,
        held: HeldDeletions,
    ) -> Self {
        Self {
            directory: Some(Directory::new(places.manifests.clone(), places.trust)),
            store,
            admission,
            secrets,
            metrics,
            confirmed: places.confirm_deletions,
            held,
            missing: Missing::default(),
            unfinished: true,
            problems: BTreeSet::new(),
            remarks: BTreeSet::new(),
            signs: ManifestSigns::default(),
        }
    }

    /// For ever. `looked` is told when the first look has ended, well or badly: a directory that cannot be read changes nothing.
    pub(in crate::cluster::standalone) async fn run(mut self, every: Duration, looked: signal::Sender<bool>) {
        loop {
            self.round(&looked).await;
            looked.send_replace(true);
            sleep(every).await;
        }
    }

    async fn round(&mut self, looked: &signal::Sender<bool>) {
        let look = match self.look(looked).await {
            Ok(look) => look,
            Err(problem) => {
                self.tell(BTreeSet::from([problem]));
                self.metrics.manifests().set(self.signs.clone());
                return;
            }
        };
        self.remark(&look);
        if look.changed || self.unfinished || self.held.is_confirmed() {
            match self.follow(&look).await {
                Ok(Round { problems, verdict, held, unfinished }) => {
                    self.tell(problems);
                    self.unfinished = unfinished || verdict.waits;
                    if verdict.held > 0 && verdict.held != self.signs.held.count() {
                        tracing::warn!(
                            resources = verdict.held,
                            "so many resources are gone from the manifests at once that they are kept: put them back, or have them deleted by \
                             kagiban-operator confirm-deletions"
                        );
                    }
                    self.signs.held = held;
                }
                Err(error) => {
                    self.unfinished = true;
                    tracing::warn!(%error, "the manifests are not in the state yet");
                }
            }
        }
        self.signs.read = Some(Timestamp::now());
        self.metrics.manifests().set(self.signs.clone());
    }

    /// Nothing else is begun before it ends.
    async fn look(&mut self, looked: &signal::Sender<bool>) -> Result<Look, Problem> {
        let problem = |what: String| Problem { file: String::new(), line: None, what };
        let Some(mut directory) = self.directory.take() else {
            return Err(problem("a look at the directory has ended in a bug of this program".to_owned()));
        };
        let mut work = POOL.start(move || {
            let look = directory.look();
            (directory, look)
        });
        let found = loop {
            match timeout(LOOK_DEADLINE, &mut work).await {
                Ok(found) => break found,
                Err(_) => {
                    tracing::warn!(
                        seconds = LOOK_DEADLINE.as_secs(),
                        "the directory of manifests cannot be read to its end; what was read before stays"
                    );
                    looked.send_replace(true);
                }
            }
        };
        let (directory, look) = found.map_err(|error| problem(error.to_string()))?;
        self.directory = Some(directory);
        look.map_err(|error: LookError| problem(error.to_string()))
    }

    async fn follow(&mut self, look: &Look) -> Result<Round, ClusterError> {
        let mut problems = look.problems();
        self.follow_secrets(look, &mut problems);
        let (declared, twice) = declared(look, &mut problems);
        let stored = self.store.call("list", RESOURCE, |state| state.list(None)).await?;
        let stored: BTreeMap<Key, Stored> = stored.into_iter().map(|stored| (key_of(&stored.object), stored)).collect();
        let mut ready = Vec::new();
        for (file, declared) in declared.values() {
            let old = stored.get(&declared.key).filter(|stored| !stored.is_being_deleted());
            match self.admission.admit(&declared.object, old.map(|stored| &stored.object)) {
                Ok(admitted) => ready.push((admitted, (*file).to_owned())),
                Err(errors) => problems.extend(located(self.directory.as_ref(), file, declared, &errors)),
            }
            // Each takes a part of a millisecond, and all together may take seconds
            tokio::task::yield_now().await;
        }
        let unfinished = self.apply(ready).await?;
        let unclear: BTreeSet<_> = problems.iter().map(|problem| problem.file.clone()).collect();
        let live = stored.iter().filter(|(_, stored)| !stored.is_being_deleted());
        let is_gone = |(key, stored): &(&Key, &Stored)| {
            !declared.contains_key(*key) && !twice.contains(*key) && !unclear.contains(&stored.source)
        };
        let gone: BTreeSet<Key> = live.clone().filter(is_gone).map(|(key, _)| key.clone()).collect();
        let mut confirmed = self.held.take_confirmed();
        if std::mem::take(&mut self.confirmed) {
            confirmed.extend(gone.iter().cloned());
        }
        let named = declared.len() + twice.len() + usize::from(!unclear.is_empty());
        let verdict = self.missing.judge(live.count(), named, &gone, &confirmed, Instant::now());
        let held = if verdict.held > 0 { gone } else { BTreeSet::new() };
        let signs = Signs::of(held.iter().map(|(namespace, name)| format!("{namespace}/{name}")));
        self.held.hold(held);
        for (namespace, name) in verdict.delete.clone() {
            let uid = stored.get(&(namespace.clone(), name.clone())).map(|stored| uid(&stored.object));
            let (uid, now) = (uid.unwrap_or_default(), Timestamp::now());
            tracing::info!(namespace, name, "it is gone from the manifests, and is deleted");
            self.store.call("delete", RESOURCE, move |state| state.delete(&namespace, &name, &uid, now)).await?;
        }
        Ok(Round { problems, verdict, held: signs, unfinished })
    }

    fn follow_secrets(&self, look: &Look, problems: &mut BTreeSet<Problem>) {
        let (mut found, mut twice) = (BTreeMap::new(), BTreeSet::new());
        for (file, contents) in &look.files {
            for (key, place, secret) in &contents.secrets {
                if let Some((other, _)) = found.insert(key.clone(), (file.clone(), secret.clone())) {
                    problems.extend(named_twice(file, place.line, &other, key));
                    twice.insert(key.clone());
                }
            }
        }
        found.retain(|key, _| !twice.contains(key));
        let unclear: BTreeSet<&str> = problems.iter().map(|problem| &*problem.file).collect();
        self.secrets.follow(found, |file| unclear.contains(file));
    }

    /// Whether something could not be put there yet.
    async fn apply(&self, ready: Vec<(Value, String)>) -> Result<bool, ClusterError> {
        let mut unfinished = false;
        let mut ready = ready.into_iter();
        loop {
            let batch: Vec<_> = ready.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(unfinished);
            }
            let now = Timestamp::now();
            let apply = move |state: &mut super::super::store::Session<'_>| {
                let mut waits = false;
                for (admitted, file) in &batch {
                    waits |= state.apply(admitted, file, now)? == Applied::Deleting;
                }
                Ok(waits)
            };
            unfinished |= self.store.call("patch", RESOURCE, apply).await?;
        }
    }

    /// What was not told before.
    fn tell(&mut self, problems: BTreeSet<Problem>) {
        let news = problems.difference(&self.problems);
        for Problem { file, line, what } in news.take(MOST_TOLD) {
            let what = told(what);
            tracing::warn!(file, line, "not taken as it stands: {what}");
        }
        if problems.is_empty() && !self.problems.is_empty() {
            tracing::info!("all manifests are taken as they stand");
        }
        self.signs.problems = Signs::of(problems.iter().map(ToString::to_string));
        self.problems = problems;
    }

    fn remark(&mut self, look: &Look) {
        let kinds = look.files.iter().flat_map(|(file, contents)| {
            contents.passed_over.iter().map(move |kind| format!("{file}: passed over: {kind}"))
        });
        let links = look.links.iter().map(|file| format!("{file}: passed over: a symbolic link"));
        let open = look.open_secrets.iter().map(|file| {
            format!(
                "{file}: there is a Secret in it, and others may read the file: {}, or keep it below --secrets",
                make_private()
            )
        });
        let remarks = kinds.chain(links).map(|remark| (false, remark));
        let remarks: BTreeSet<_> = remarks.chain(open.map(|remark| (true, remark))).collect();
        for (is_warning, remark) in remarks.difference(&self.remarks).take(MOST_TOLD) {
            let remark = told(remark);
            if *is_warning {
                tracing::warn!("{remark}");
            } else {
                tracing::info!("{remark}");
            }
        }
        self.signs.open_secrets = Signs::of(look.open_secrets.iter().cloned());
        self.remarks = remarks;
    }
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}
