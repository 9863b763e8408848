//! Whether the agent's JARs are as they were signed. A program is asked for a second or more about each: once a day, beside
//! the looks, which tell what it said last.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::health::{JarAmiss, JarsSeen};
use crate::platform::{self, JarSeal};
use crate::snapshot::{Label, Trouble};
use crate::sources::schedule::panicked;

/// They change with an update of the product.
const EVERY: Duration = Duration::from_hours(24);
/// What failed may have been a disk or a missing program.
const AFTER_FAILURE: Duration = Duration::from_hours(1);
/// Of one JAR: a second as a rule, more on a host that is busy.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Jars {
    jarsigner: Option<PathBuf>,
    verifying: Option<AbortOnDropHandle<Result<JarsSeen, Trouble>>>,
    seen: Option<Result<JarsSeen, Trouble>>,
    next: Instant,
}

impl Jars {
    pub(super) fn new(jarsigner: Option<PathBuf>) -> Self {
        Self { jarsigner, verifying: None, seen: None, next: Instant::now() }
    }

    /// What was found last; where it is time, another round is begun.
    pub(super) async fn look(&mut self, jars: Result<Vec<PathBuf>, Trouble>) -> Result<JarsSeen, Trouble> {
        let Some(jarsigner) = &self.jarsigner else {
            return Err(Trouble::new("not_configured", "set jarsigner to have the JARs' signatures verified"));
        };
        if let Some(ended) = self.verifying.take_if(|verifying| verifying.is_finished()) {
            let seen = ended.await.unwrap_or_else(|_| Err(panicked("panic")));
            self.next = Instant::now() + if seen.is_ok() { EVERY } else { AFTER_FAILURE };
            self.seen = Some(seen);
        }
        if self.verifying.is_none() && self.next <= Instant::now() {
            self.verifying = Some(AbortOnDropHandle::new(tokio::spawn(verified(jarsigner.clone(), jars))));
        }
        self.seen.clone().unwrap_or_else(|| Err(Trouble::new("not_yet", "the JARs are being verified")))
    }
}

async fn verified(jarsigner: PathBuf, jars: Result<Vec<PathBuf>, Trouble>) -> Result<JarsSeen, Trouble> {
    let jars = jars?;
    if jars.is_empty() {
        return Err(Trouble::new("no_jars", "none of the JARs that the vendor signs is there"));
    }
    let amiss = |amiss| Ok(JarsSeen { count: jars.len(), amiss: Some(amiss) });
    let mut first = None;
    for jar in &jars {
        match platform::jar_seal(&jarsigner, jar, DEADLINE).await {
            Ok(JarSeal::Whole { signers }) => {
                if *first.get_or_insert_with(|| signers.clone()) != signers {
                    return amiss(JarAmiss::OtherSigner(Label::from_path(jar)));
                }
            }
            Ok(JarSeal::Broken | JarSeal::Unsigned) => return amiss(JarAmiss::NotWhole(Label::from_path(jar))),
            Err(error) => return Err(Trouble::new(error.reason(), format!("{}: {error}", jar.display()))),
        }
    }
    Ok(JarsSeen { count: jars.len(), amiss: None })
}
