//! Which clients are repaired next, which stay, and when the list is made anew: pure.
//!
//! ```text
//!   list ──due──> begun ──> ended ──list, made after it──> not there any more: thought repaired ──list, much later──> repaired
//!            ^                │                                                    │                                   │
//!            │                │ <─────────────────── there again ──────────────────┴──────── within 14 days ───────────┘
//!            │                └── still there when the pause is over: without effect, and due again
//!            └── pauses of 1, 2, 4, 8, 16 and 24 hours           │
//!                                                                 └── after the last attempt: it stays, and is tried once a day
//! ```
//!
//! Only lists say that a client is repaired: a program that ends well may have done nothing. One list may be wrong for once, such as of a
//! client that is off and falls out of it for a while; so two have to leave it out that surely name everybody, and none between them names
//! it. A client whose program did not end well is repaired by no list: it is off. Whoever is gone is remembered for when it comes back: it has
//! had its attempts. A client that is off is the usual reason for a failure, so that no attempt follows another within an hour. What was done
//! under another certificate of the server says nothing of this one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use kagiban_crds::LeafSha256;
use serde::{Deserialize, Serialize};

use super::client::ClientHost;

/// After the first attempt; each further pause is twice as long.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// What is off over night is on the next day. So often those are tried that stay.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(24);
/// Between the two lists that a client is repaired by: whatever has made the first one wrong is over by then. The pause after the first
/// attempt is longer, and has a list made when it ends.
const SURE_AFTER: SignedDuration = SignedDuration::from_mins(20);
/// A client that lists leave out is remembered for so long: a machine that is off on days off, or for a holiday, has its attempts still when
/// it comes back, and one that was not repaired after all, too.
const REMEMBERED_ABSENT: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Repaired with one list; then the list is made anew, so that nobody is tried for long whom the server has meanwhile.
pub const MOST_OF_ONE_LIST: usize = 16;
/// Clients that are remembered: more than a server of the largest kind has without its certificate for long. What is beyond is begun when
/// others have left.
pub const MOST_REMEMBERED: usize = 4096;

/// How many attempts there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one client, until it stays.
    pub attempts: u32,
}

/// The clients without the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// When the program that has made it was begun.
    pub begun: Timestamp,
    pub names: BTreeSet<ClientHost>,
    /// Whether all are named that are listed, but for those whose names are none of hosts.
    pub is_complete: bool,
}

/// What is remembered of the clients that an attempt was made on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repairs {
    /// The server's certificate that the attempts were to give. None where it was never known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaf: Option<LeafSha256>,
    #[serde(rename = "clients")]
    tried: BTreeMap<ClientHost, Tried>,
}

/// A client that an attempt was made on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tried {
    attempts: u32,
    /// The last one.
    begun: Timestamp,
    /// None while it goes on, and where this program ended before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Ended>,
    /// It was counted as one without effect.
    counted: bool,
    /// When the first list was begun that left it out after its attempt: it is thought repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absent_since: Option<Timestamp>,
    /// A second list has left it out.
    #[serde(default, skip_serializing_if = "is_false")]
    is_gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Ended {
    at: Timestamp,
    how: AttemptEnd,
}

/// How the program of an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AttemptEnd {
    /// It says that it has done its work.
    Done,
    Failed,
    /// It was killed at its deadline.
    TimedOut,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepairResult {
    /// Its program ended well, and two lists have left the client out, between which none has named it.
    Repaired,
    /// It is, although the program ended well.
    StillListed,
    Failed,
    TimedOut,
    /// This program ended before it.
    CutOff,
}

/// Why a newer list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedFor {
    /// An attempt was made since it was begun. It may name clients that have the certificate meanwhile, so that nobody is begun by it.
    Attempt,
    /// A pause is over since. That holds up no other client.
    Pause,
}

impl RepairResult {
    pub const ALL: [Self; 5] = [Self::Repaired, Self::StillListed, Self::Failed, Self::TimedOut, Self::CutOff];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repaired => "repaired",
            Self::StillListed => "still_listed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::CutOff => "cut_off",
        }
    }
}

impl Repairs {
    /// Begins anew where the server has another certificate than the one of the attempts, or where it is not known of them. While the
    /// server's is not known they stand. Whether attempts were forgotten.
    pub fn note_leaf(&mut self, leaf: Option<LeafSha256>) -> bool {
        if leaf.is_none() || leaf == self.leaf {
            return false;
        }
        let before = std::mem::replace(self, Self { leaf, tried: BTreeMap::new() });
        !before.tried.is_empty()
    }

    /// What a list says of the attempts before it: each is counted once, when it is known what came of it. Where the server's certificate was
    /// not seen with the list, nobody knows for which one it counts, and nobody is repaired by it. A clock that was set back holds up nobody
    /// for longer than a pause.
    pub fn heed(&mut self, list: &Listing, is_leaf_seen: bool, now: Timestamp) -> BTreeMap<RepairResult, u64> {
        let mut results = BTreeMap::new();
        self.tried.retain(|client, tried| {
            tried.begun = tried.begun.min(now);
            if let Some(ended) = &mut tried.ended {
                ended.at = ended.at.min(now);
            }
            tried.absent_since = tried.absent_since.map(|since| since.min(now));
            let is_later = tried.last_change(now) < list.begun;
            if list.names.contains(client) {
                (tried.absent_since, tried.is_gone) = (None, false);
                if is_later && !tried.counted && list.begun >= tried.pause_ends() {
                    tried.counted = true;
                    *results.entry(tried.without_effect()).or_default() += 1;
                }
                return true;
            }
            // Of a list that leaves names out nobody knows; whoever no list names for long, and two have not left out, is not waited for.
            let is_absent = is_later && list.is_complete;
            let since = tried.absent_since.or(is_absent.then_some(list.begun));
            let absent = since.map_or(SignedDuration::ZERO, |since| list.begun.duration_since(since));
            tried.absent_since = since;
            tried.is_gone |= is_absent && absent >= SURE_AFTER;
            let is_done = tried.ended.is_some_and(|ended| ended.how == AttemptEnd::Done);
            if tried.is_gone && is_done && is_leaf_seen && !tried.counted {
                tried.counted = true;
                *results.entry(RepairResult::Repaired).or_default() += 1;
            }
            let is_unseen = !list.is_complete && !tried.is_gone;
            !(absent > REMEMBERED_ABSENT || is_unseen && now.duration_since(tried.begun) > LONGEST_PAUSE * 2)
        });
        results
    }

    /// The clients to begin with now: those first that nobody has tried, then those whose last attempt is longest ago.
    pub fn due(&self, list: &Listing, limits: Limits, now: Timestamp) -> Vec<ClientHost> {
        let remembered = self.tried.values().filter(|tried| !tried.is_gone).count();
        let room = MOST_REMEMBERED.saturating_sub(remembered);
        let untried = list.names.iter().filter(|client| !self.tried.contains_key(*client)).take(room);
        let mut again: Vec<_> =
            list.names.iter().filter_map(|client| Some((self.tried.get(client)?, client))).collect();
        again.retain(|(tried, _)| tried.counted && tried.due(limits) <= now);
        again.sort_by_key(|(tried, _)| tried.begun);
        let again = again.into_iter().map(|(_, client)| client);
        untried.chain(again).take(MOST_OF_ONE_LIST).cloned().collect()
    }

    /// An attempt begins. What was known before is returned, for one that turns out not to have been possible.
    pub fn begin(&mut self, client: &ClientHost, now: Timestamp) -> Option<Tried> {
        // With its key, which is to be as the list writes the name now.
        let before = self.tried.remove(client);
        let attempts = before.as_ref().map_or(0, |tried| tried.attempts).saturating_add(1);
        if self.tried.len() >= MOST_REMEMBERED {
            self.forget_one_gone();
        }
        let tried = Tried { attempts, begun: now, ended: None, counted: false, absent_since: None, is_gone: false };
        self.tried.insert(client.clone(), tried);
        before
    }

    /// The one that was not seen for longest makes room for one that is listed.
    fn forget_one_gone(&mut self) {
        let gone = self.tried.iter().filter(|(_, tried)| tried.is_gone);
        let oldest = gone.min_by_key(|(_, tried)| tried.absent_since).map(|(client, _)| client.clone());
        if let Some(oldest) = oldest {
            self.tried.remove(&oldest);
        }
    }

    pub fn end(&mut self, client: &ClientHost, how: AttemptEnd, at: Timestamp) {
        if let Some(tried) = self.tried.get_mut(client) {
            tried.ended = Some(Ended { at, how });
        }
    }

    /// Nothing was begun: this host was kept from it, and the client is not to blame.
    pub fn take_back(&mut self, client: &ClientHost, before: Option<Tried>) {
        match before {
            Some(before) => self.tried.insert(client.clone(), before),
            None => self.tried.remove(client),
        };
    }

    /// Those that every attempt was made on without effect, but for whom two lists have left out.
    pub fn staying(&self, limits: Limits) -> impl Iterator<Item = &ClientHost> {
        let stays = move |tried: &Tried| {
            let all = tried.attempts.saturating_sub(u32::from(!tried.counted));
            all >= limits.attempts && !tried.is_gone
        };
        self.tried.iter().filter(move |(_, tried)| stays(tried)).map(|(client, _)| client)
    }

    /// Why a list is wanted that is newer than one that was begun at this time; none where none is.
    pub fn wants_list(&self, begun: Timestamp, now: Timestamp) -> Option<WantedFor> {
        let is_over = |tried: &Tried| !tried.is_gone && begun < tried.pause_ends() && tried.pause_ends() <= now;
        if self.tried.values().any(|tried| begun <= tried.last_change(now)) {
            return Some(WantedFor::Attempt);
        }
        self.tried.values().any(is_over).then_some(WantedFor::Pause)
    }
}

impl Tried {
    fn last_change(&self, now: Timestamp) -> Timestamp {
        self.ended.map_or(self.begun, |ended| ended.at.min(now).max(self.begun))
    }

    /// Until then the server may not have noticed, and the client may come back.
    fn pause_ends(&self) -> Timestamp {
        let doubled = 1_i32.checked_shl(self.attempts.saturating_sub(1).min(8)).unwrap_or(i32::MAX);
        let pause = (FIRST_PAUSE * doubled).min(LONGEST_PAUSE);
        self.begun.checked_add(pause).unwrap_or(Timestamp::MAX)
    }

    /// When the next attempt may begin.
    fn due(&self, limits: Limits) -> Timestamp {
        if self.attempts < limits.attempts {
            return self.pause_ends();
        }
        self.begun.checked_add(LONGEST_PAUSE).unwrap_or(Timestamp::MAX)
    }

    fn without_effect(&self) -> RepairResult {
        match self.ended.map(|ended| ended.how) {
            Some(AttemptEnd::Done) => RepairResult::StillListed,
            Some(AttemptEnd::Failed) => RepairResult::Failed,
            Some(AttemptEnd::TimedOut) => RepairResult::TimedOut,
            None => RepairResult::CutOff,
        }
    }
}

/// For serde.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests;
