//! Whether a reboot of the host is pending, and who has asked for it.

use std::time::Duration;

use crate::blocking::Work;
use crate::platform::{PendingReboots, pending_reboots};
use crate::snapshot::{Observation, Trouble};
use crate::sources::blocking::Blocking;

#[derive(Debug)]
pub(in crate::sources) struct RebootSource {
    reader: Blocking<(), PendingReboots>,
}

impl RebootSource {
    pub(super) const fn new(deadline: Duration) -> Self {
        Self { reader: Blocking::new(Work::Host, deadline) }
    }

    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        match self.reader.run(|| (), |()| pending_reboots()).await {
            Ok(told) => seen(told),
            Err(trouble) => (Observation::Nothing, Some(trouble)),
        }
    }
}

/// What can be told is told, whatever cannot.
fn seen(told: PendingReboots) -> (Observation, Option<Trouble>) {
    let mut first = None;
    let mut keep = |(reason, is_pending)| match is_pending {
        Ok(is_pending) => Some((reason, is_pending)),
        Err(error) => {
            first.get_or_insert(error);
            None
        }
    };
    let reboots = told.into_iter().filter_map(&mut keep).collect();
    (Observation::Reboots(reboots), first.map(|error| Trouble::new(error.reason(), error)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;

    use super::*;
    use crate::platform::{RebootError, RebootReason};

    fn unread(place: &str, kind: io::ErrorKind) -> Result<bool, RebootError> {
        Err(RebootError { place: place.to_owned(), source: kind.into() })
    }

    #[test]
    fn a_reason_that_cannot_be_looked_at_hides_no_other_and_is_no_answer() {
        let (observation, trouble) = seen(vec![
            (RebootReason::ComponentServicing, unread(r"HKLM\a", io::ErrorKind::PermissionDenied)),
            (RebootReason::FileRename, Ok(true)),
            (RebootReason::WindowsUpdate, Ok(false)),
            (RebootReason::Packages, unread("/run/b", io::ErrorKind::Other)),
        ]);
        let Observation::Reboots(reboots) = observation else { panic!("{observation:?}") };
        assert_eq!(reboots, BTreeMap::from([(RebootReason::FileRename, true), (RebootReason::WindowsUpdate, false)]));
        let trouble = trouble.expect("two were not read");
        assert_eq!(trouble.reason, "permission_denied");
        assert!(trouble.message.as_str().starts_with(r"HKLM\a: "), "{}", trouble.message);
    }

    #[tokio::test]
    async fn this_host_is_asked_within_the_deadline() {
        let (observation, trouble) = RebootSource::new(Duration::from_secs(60)).look().await;
        assert!(matches!(observation, Observation::Reboots(_)) && trouble.is_none(), "{observation:?} {trouble:?}");
    }
}
