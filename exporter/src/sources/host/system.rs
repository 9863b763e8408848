//! The system's own schedule: who planned a shutdown, whether it was called off, whether it has begun.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kagiban_agents::Os;
use tokio::sync::Notify;

use crate::platform::{self, ShutdownWatch, SystemShutdown};
use crate::shutdown::{Evidence, Scheduled, Sign};
use crate::snapshot::{Observation, Trouble};
use crate::ups::{ShutdownTrigger, ShutdownTriggers};

/// A shutdown that was due this long ago and has not begun will not: what announced it was left behind.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// Who says here that a shutdown has begun.
const BEGUN: ShutdownTrigger = match platform::OS {
    Os::Linux => ShutdownTrigger::SystemdPreparing,
    Os::Windows => ShutdownTrigger::WindowsPreshutdown,
};
/// Long enough that every scrape interval in use sees that a shutdown was called off.
const CANCELLED_FOR: SignedDuration = SignedDuration::from_mins(5);

#[derive(Debug)]
pub(in crate::sources) struct SystemSource {
    watch: ShutdownWatch,
    deadline: Duration,
    plans: Plans,
}

impl SystemSource {
    pub(super) fn new(file: Option<PathBuf>, wake: Arc<Notify>, deadline: Duration) -> Self {
        Self { watch: ShutdownWatch::new(file, wake), deadline, plans: Plans::default() }
    }

    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let (said, error) = self.watch.ask(self.deadline).await;
        let trouble = error.map(|error| Trouble::new(error.reason(), error));
        let observation = match said {
            Some(said) => Observation::Host(vec![self.plans.judge(&said, Timestamp::now())]),
            // Nobody knows: a plan that is not seen now was not called off.
            None => Observation::Nothing,
        };
        (observation, trouble)
    }
}

/// What was planned before: only who remembers a plan can tell that it was called off.
#[derive(Debug, Default)]
struct Plans {
    last: Option<Scheduled>,
    called_off_at: Option<Timestamp>,
}

impl Plans {
    fn judge(&mut self, said: &SystemShutdown, now: Timestamp) -> Evidence {
        let under_way = said.under_way == Some(true);
        let due = said.scheduled.filter(|it| now.duration_since(it.at) < STALE_AFTER || under_way);
        let before = std::mem::replace(&mut self.last, due.filter(|it| !it.dry_run));
        if self.last.is_some() || under_way {
            self.called_off_at = None;
        } else if before.is_some_and(|before| now < before.at) {
            self.called_off_at = Some(now);
        }
        let called_off = self.called_off_at.is_some_and(|at| now.duration_since(at).abs() < CANCELLED_FOR);
        let sign = match due {
            _ if under_way => Sign::InProgress,
            Some(Scheduled { dry_run: false, .. }) => Sign::Scheduled,
            // Of one that is only announced nothing will come.
            Some(Scheduled { dry_run: true, .. }) | None if called_off => Sign::Cancelled,
            Some(Scheduled { dry_run: true, .. }) | None => Sign::Normal,
        };
        let preparing = under_way.then_some(BEGUN);
        let scheduled = self.last.map(|_| ShutdownTrigger::SystemdSchedule);
        Evidence {
            triggers: preparing.into_iter().chain(scheduled).collect::<ShutdownTriggers>(),
            deadline: self.last.map(|it| it.at),
            scheduled: due,
            cause: said.message.clone().filter(|_| due.is_some()),
            denies: said.under_way == Some(false),
            ..Evidence::new(sign)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, proptest};
    use proptest::{prop_assert, prop_assert_eq};

    use super::*;
    use crate::shutdown::ShutdownKind;
    use crate::snapshot::Label;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn planned(second: i64) -> SystemShutdown {
        let scheduled = Some(Scheduled { kind: ShutdownKind::Reboot, at: at(second), dry_run: false });
        SystemShutdown { scheduled, under_way: Some(false), message: Some(Label::new("new kernel")) }
    }

    fn nothing() -> SystemShutdown {
        SystemShutdown { under_way: Some(false), ..SystemShutdown::default() }
    }

    #[test]
    fn a_scheduled_shutdown_is_told_with_its_time_its_kind_and_the_words_of_who_asked_for_it() {
        let evidence = Plans::default().judge(&planned(60), at(0));
        assert_eq!((evidence.sign, evidence.deadline), (Sign::Scheduled, Some(at(60))));
        assert_eq!(evidence.triggers, ShutdownTriggers::from([ShutdownTrigger::SystemdSchedule]));
        assert_eq!(evidence.scheduled, planned(60).scheduled);
        assert_eq!(evidence.cause, Some(Label::new("new kernel")));
    }

    #[test]
    fn what_has_begun_is_in_progress_whether_it_was_planned_or_not() {
        let mut said = planned(-3600);
        said.under_way = Some(true);
        let evidence = Plans::default().judge(&said, at(0));
        assert_eq!(evidence.sign, Sign::InProgress);
        assert_eq!(evidence.triggers, ShutdownTriggers::from([BEGUN, ShutdownTrigger::SystemdSchedule]));
        let evidence = Plans::default().judge(&SystemShutdown { under_way: Some(true), ..nothing() }, at(0));
        assert_eq!((evidence.sign, evidence.deadline), (Sign::InProgress, None));
        assert_eq!(evidence.triggers, ShutdownTriggers::from([BEGUN]));
    }

    /// Holds R6: only logind knows that nothing has begun; its file, which is read where logind is gone, does not.
    #[test]
    fn that_nothing_has_begun_is_said_by_who_knows_it() {
        assert!(Plans::default().judge(&nothing(), at(0)).denies);
        assert!(!Plans::default().judge(&SystemShutdown::default(), at(0)).denies);
    }

    #[test]
    fn a_plan_that_vanishes_before_its_time_was_called_off_and_that_is_told_for_five_minutes() {
        let mut plans = Plans::default();
        plans.judge(&planned(600), at(0));
        assert_eq!(plans.judge(&nothing(), at(5)).sign, Sign::Cancelled);
        assert_eq!(plans.judge(&nothing(), at(300)).sign, Sign::Cancelled);
        assert_eq!(plans.judge(&nothing(), at(306)).sign, Sign::Normal);
    }

    #[test]
    fn a_new_plan_ends_the_talk_of_the_old_one() {
        let mut plans = Plans::default();
        plans.judge(&planned(600), at(0));
        plans.judge(&nothing(), at(5));
        assert_eq!(plans.judge(&planned(900), at(10)).sign, Sign::Scheduled);
        assert_eq!(plans.judge(&planned(1200), at(15)).sign, Sign::Scheduled, "put off is not called off");
        assert_eq!(plans.judge(&nothing(), at(1201)).sign, Sign::Normal, "its time had come");
    }

    #[test]
    fn what_nobody_saw_planned_was_not_called_off() {
        assert_eq!(Plans::default().judge(&nothing(), at(0)).sign, Sign::Normal);
    }

    #[test]
    fn what_was_left_behind_by_a_shutdown_that_never_came_is_no_plan() {
        let evidence = Plans::default().judge(&planned(-301), at(0));
        assert_eq!((evidence.sign, evidence.scheduled, evidence.cause), (Sign::Normal, None, None));
        assert!(evidence.triggers.is_empty() && evidence.deadline.is_none());
        assert_eq!(Plans::default().judge(&planned(-60), at(0)).sign, Sign::Scheduled, "it may be about to begin");
    }

    #[test]
    fn one_that_is_only_announced_is_shown_and_counts_for_nothing() {
        let mut said = planned(60);
        said.scheduled.as_mut().expect("it is planned").dry_run = true;
        let mut plans = Plans::default();
        let evidence = plans.judge(&said, at(0));
        assert_eq!((evidence.sign, evidence.scheduled), (Sign::Normal, said.scheduled));
        assert!(evidence.triggers.is_empty() && evidence.deadline.is_none());
        assert_eq!(plans.judge(&nothing(), at(5)).sign, Sign::Normal, "there was nothing to call off");
    }

    #[test]
    fn a_clock_that_jumps_keeps_nothing_called_off_for_ever() {
        let mut plans = Plans::default();
        plans.judge(&planned(600), at(0));
        assert_eq!(plans.judge(&nothing(), at(5)).sign, Sign::Cancelled);
        assert_eq!(plans.judge(&nothing(), at(-86_400)).sign, Sign::Normal);
    }

    fn anything_said() -> impl Strategy<Value = (SystemShutdown, i64)> {
        (proptest::option::of((-900_i64..900, any::<bool>())), any::<Option<bool>>(), -900_i64..900).prop_map(
            |(plan, under_way, now)| {
                let plan =
                    plan.map(|(second, dry_run)| Scheduled { kind: ShutdownKind::Halt, at: at(second), dry_run });
                (SystemShutdown { scheduled: plan, under_way, message: None }, now)
            },
        )
    }

    proptest! {
        #[test]
        fn whatever_is_said_in_whatever_order_of_time_a_sign_has_its_grounds(
            said in proptest::collection::vec(anything_said(), 1..20),
        ) {
            let (mut plans, mut was_planned) = (Plans::default(), false);
            for (said, now) in said {
                let evidence = plans.judge(&said, at(now));
                prop_assert_eq!(evidence.sign == Sign::InProgress, said.under_way == Some(true));
                prop_assert_eq!(evidence.denies, said.under_way == Some(false));
                prop_assert_eq!(evidence.deadline.is_some(), evidence.triggers.contains(&ShutdownTrigger::SystemdSchedule));
                prop_assert!(evidence.sign != Sign::Scheduled || evidence.deadline.is_some());
                prop_assert!(evidence.sign != Sign::Cancelled || was_planned);
                was_planned |= evidence.deadline.is_some();
            }
        }
    }
}
