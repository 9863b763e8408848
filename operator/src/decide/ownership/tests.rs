//! Who owns an agent, by example and in any order.

use serde_json::{Value, json};

use super::*;

fn claim(namespace: &str, name: &str, created: i64, blocked_by: Option<BlockedBy>) -> Contender {
    Contender {
        namespace: namespace.into(),
        name: name.into(),
        uid: format!("{namespace}-{name}"),
        created: Timestamp::from_second(created).ok(),
        deleted: false,
        held: false,
        url: "https://ups-01.example.com".parse().ok(),
        client: Some("fleet-client".into()),
        status: ManagedAgentCertificateStatus {
            blocked_by,
            observed_generation: Some(1),
            ..ManagedAgentCertificateStatus::default()
        },
    }
}

fn unlooked(mut claim: Contender) -> Contender {
    claim.status.observed_generation = None;
    claim
}

/// A rotation of its own has put the leaf there.
fn verified(claim: Contender) -> Contender {
    let mut claim = adopted(claim);
    let entry = json!({"generation": 1, "outcome": "Committed", "sha256": SHA256.repeat(32), "finishedAt": "2026-01-01T00:00:00Z"});
    claim.status.history = vec![serde_json::from_value(entry).expect("an entry")];
    claim
}

const SHA256: &str = "ab";

fn adopted(mut claim: Contender) -> Contender {
    let url = claim.url.as_ref().map(|url| format!("https://{}:{}", url.host, url.port));
    claim.status.leaf = Some(
        serde_json::from_value(json!({
            "verifiedUrl": url, "verifiedClient": claim.client,
            "sha256": SHA256.repeat(32), "serial": "1", "issuer": "CN=x", "requestDigest": "d",
            "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-03-01T00:00:00Z",
        }))
        .expect("a leaf"),
    );
    claim
}

/// Verified at another address, where the spec does not say it any more.
fn moved(claim: Contender) -> Contender {
    let mut claim = verified(claim);
    if let Some(leaf) = &mut claim.status.leaf {
        leaf.verified_url = Some("https://ups-01.other.example.com".into());
    }
    claim
}

/// As it stands once it was looked at since.
fn moved_long_ago(claim: Contender) -> Contender {
    let mut claim = moved(claim);
    if let Some(leaf) = &mut claim.status.leaf {
        leaf.verified_client = None;
    }
    claim
}

fn unheard(mut claim: Contender, by: BlockedBy) -> Contender {
    let condition = json!({
        "type": "Verified", "status": "Unknown", "reason": Reason::Blocked(by).as_str(), "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    claim.status.conditions = vec![serde_json::from_value(condition).expect("a condition")];
    claim
}

fn owner_of(own: &Contender, other: &Contender) -> Option<String> {
    owner(&own.claim(), [&other.claim(), &own.claim()]).map(|rival| rival.name)
}

/// Holds B9: being older is no claim; the one without a valid Secret keeps nobody out.
#[test]
fn an_older_resource_that_is_not_granted_the_host_does_not_keep_the_owner_from_it() {
    let owner = claim("fleet", "owner", 2, None);
    for by in [
        BlockedBy::SecretUnavailable,
        BlockedBy::NotGranted,
        BlockedBy::HostUnreachable,
        BlockedBy::WrongHost,
        BlockedBy::Conflict,
    ] {
        let squatter = claim("other", "squatter", 1, Some(by));
        assert_eq!(owner_of(&owner, &squatter), None, "{by:?}");
        assert_eq!(owner_of(&squatter, &verified(owner.clone())).as_deref(), Some("owner"), "{by:?}");
        // Even if it was once verified, where its client Secret does not let it any more, or another agent answers
        if matches!(by, BlockedBy::NotGranted | BlockedBy::WrongHost) {
            assert_eq!(owner_of(&owner, &unheard(verified(squatter), by)), None, "{by:?}");
        }
    }
}

/// Holds B9: an owner whose issuer does not list a name, and whoever waited for that, and then the owner in conflict.
#[test]
fn an_owner_loses_its_agent_by_no_mistake_in_its_spec() {
    let intruder = claim("fleet", "intruder", 1, Some(BlockedBy::Conflict));
    for by in [BlockedBy::NotGranted, BlockedBy::Conflict, BlockedBy::SpecInvalid, BlockedBy::IssuerUnavailable] {
        let owner = verified(claim("fleet", "owner", 2, Some(by)));
        assert_eq!(owner_of(&intruder, &owner).as_deref(), Some("owner"), "{by:?}");
        assert_eq!(owner_of(&owner, &intruder), None, "{by:?}");
    }
    // It was verified at another address, and is to be again at this one
    let moved = moved(claim("fleet", "owner", 2, None));
    assert_eq!((owner_of(&intruder, &moved).as_deref(), owner_of(&moved, &intruder)), (Some("owner"), None));
    let mut answered = moved.clone();
    let leaf = answered.status.leaf.as_mut().expect("it has one");
    (leaf.verified_url, leaf.verified_client) = (None, None);
    assert_eq!(owner_of(&intruder, &answered), None, "another host has answered there");
    let stranger = Contender { namespace: "other".into(), ..intruder };
    assert_eq!(owner_of(&stranger, &moved), None, "who was verified elsewhere says nothing to other namespaces");
}

/// Holds B9: who was verified is the owner, and the older of two that are alike.
#[test]
fn a_verified_resource_is_the_owner_and_otherwise_the_older_one() {
    let (first, second) = (claim("fleet", "first", 1, None), claim("fleet", "second", 2, None));
    assert_eq!((owner_of(&first, &second), owner_of(&second, &first)), (None, Some("first".into())));
    let second = verified(second);
    assert_eq!((owner_of(&first, &second), owner_of(&second, &first)), (Some("second".into()), None));
    let first = verified(first);
    assert_eq!((owner_of(&first, &second), owner_of(&second, &first)), (None, Some("first".into())));
    let down = verified(claim("fleet", "down", 3, Some(BlockedBy::HostUnreachable)));
    assert_eq!(owner_of(&claim("fleet", "new", 1, None), &down).as_deref(), Some("down"));
}

/// Holds B9: while the API server does not give an owner's Secrets, nobody else takes the agent, for good.
#[test]
fn an_owner_whose_secrets_cannot_be_read_stays_the_owner() {
    let owner = verified(claim("fleet", "owner", 1, Some(BlockedBy::SecretUnavailable)));
    let other = claim("other", "granted-too", 2, None);
    assert_eq!((owner_of(&other, &owner).as_deref(), owner_of(&owner, &other)), (Some("owner"), None));
}

/// Holds B9: a resource that is too large for its status to be written was the older one for ever.
#[test]
fn a_resource_that_was_never_looked_at_keeps_nobody_out() {
    let owner = claim("fleet", "owner", 2, None);
    let older = unlooked(claim("other", "older", 1, None));
    assert_eq!(owner_of(&owner, &older), None);
    assert_eq!(owner_of(&unlooked(owner.clone()), &older), None);
    assert_eq!(owner_of(&owner, &claim("other", "older", 1, None)).as_deref(), Some("older"));
    // But a plan tells of it
    let planned = Contender { created: None, ..unlooked(owner) };
    assert_eq!(owner_of(&planned, &older).as_deref(), Some("older"));
    let in_the_file = Contender { created: None, ..older };
    let conflicts = [owner_of(&planned, &in_the_file), owner_of(&in_the_file, &planned)];
    assert_eq!(conflicts.iter().flatten().count(), 1, "of two in a file one is told: {conflicts:?}");
}

/// Holds B9: what another namespace makes a host look like at an address of its own keeps nobody out.
#[test]
fn another_namespace_with_another_address_is_no_rival_and_one_with_the_same_is() {
    let owner = claim("fleet", "owner", 2, None);
    let mut elsewhere = verified(claim("other", "elsewhere", 1, None));
    assert_eq!(owner_of(&owner, &elsewhere).as_deref(), Some("elsewhere"));
    elsewhere.url = "https://mine.example.org".parse().ok();
    assert_eq!(owner_of(&owner, &elsewhere), None);
    elsewhere.namespace = "fleet".into();
    assert_eq!(owner_of(&owner, &elsewhere).as_deref(), Some("elsewhere"));
}

/// Holds B9: a namespace user with a client Secret of their own verifies a host of their own by the same name.
#[test]
fn another_address_that_another_secret_vouches_for_displaces_nobody_in_the_same_namespace() {
    let owner = claim("fleet", "owner", 2, None);
    let mut fake = claim("fleet", "fake", 1, None);
    (fake.url, fake.client) = ("https://mine.example.org".parse().ok(), Some("mine".into()));
    assert_eq!(owner_of(&owner, &verified(fake.clone())), None);
    fake.url.clone_from(&owner.url);
    assert_eq!(
        owner_of(&owner, &verified(fake)).as_deref(),
        Some("fake"),
        "at the host's own address it was verified there"
    );
}

/// Holds B9: what is deleted owns nothing, unless a rotation of its own is still on its way.
#[test]
fn a_deleted_resource_keeps_nobody_out_once_its_rotation_is_over() {
    let owner = claim("fleet", "owner", 2, None);
    let deleted = |rotation: Option<Value>, held| {
        let mut deleted = verified(claim("fleet", "deleted", 1, None));
        deleted.status.rotation = rotation.map(|rotation| serde_json::from_value(rotation).expect("a rotation"));
        (deleted.deleted, deleted.held) = (true, held);
        owner_of(&owner, &deleted)
    };
    let rotation = |state: &str| {
        Some(json!({
            "generation": 1, "trigger": "FirstIssue", "state": state, "startedAt": "2026-01-01T00:00:00Z",
            "attempts": 1, "requestDigest": "d",
        }))
    };
    // Somebody else's finalizer keeps it
    assert_eq!(deleted(None, false), None);
    assert_eq!(deleted(rotation("Requested"), false), None);
    assert_eq!(deleted(rotation("Committed"), true), None);
    assert_eq!(deleted(rotation("Requested"), true).as_deref(), Some("deleted"));
}

/// Holds B9: whom the host refuses owns nothing; whose keystore it refuses is still its owner.
#[test]
fn a_resource_that_the_host_refuses_keeps_nobody_out() {
    let owner = claim("fleet", "owner", 2, None);
    for by in [BlockedBy::HostRefused, BlockedBy::HostAnswerRefused, BlockedBy::SpecInvalid] {
        assert_eq!(owner_of(&owner, &claim("fleet", "refused", 1, Some(by))), None, "{by:?}");
    }
    let mut refused = verified(claim("fleet", "refused", 1, Some(BlockedBy::HostRefused)));
    assert_eq!(owner_of(&owner, &refused).as_deref(), Some("refused"), "it was looked at");
    let unheard = json!([{
        "type": "Verified", "status": "Unknown", "reason": "HostRefused", "message": "client_not_authorised",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    refused.status.conditions = serde_json::from_value(unheard).expect("conditions");
    assert_eq!(owner_of(&owner, &refused), None, "it is not even looked at any more");
}

/// Holds B9: a server of one's own under the host's name is verified, and then the spec points at the host itself.
#[test]
fn what_was_verified_at_another_address_or_by_another_secret_is_no_claim_on_the_host() {
    let owner = claim("fleet", "owner", 2, None);
    let mut elsewhere = claim("other", "squatter", 1, None);
    elsewhere.url = "https://mine.example.org".parse().ok();
    let mut squatter = verified(elsewhere);
    squatter.url.clone_from(&owner.url);
    for by in [BlockedBy::HostUnreachable, BlockedBy::HostRefused, BlockedBy::WrongHost] {
        squatter.status.blocked_by = Some(by);
        assert_eq!(owner_of(&owner, &squatter), None, "{by:?}");
    }
    let mut squatter = verified(claim("other", "squatter", 1, Some(BlockedBy::HostUnreachable)));
    assert_eq!(owner_of(&owner, &squatter).as_deref(), Some("squatter"), "an owner whose host is down");
    squatter.client = Some("mine".into());
    assert_eq!(owner_of(&owner, &squatter), None);
    // A status of a version that did not record it
    let leaf = squatter.status.leaf.as_mut().expect("it is verified");
    (leaf.verified_url, leaf.verified_client) = (None, None);
    assert_eq!(owner_of(&owner, &squatter), None);
}

const BLOCKED_BY: [Option<BlockedBy>; 23] = [
    None,
    Some(BlockedBy::Paused),
    Some(BlockedBy::Frozen),
    Some(BlockedBy::OnBattery),
    Some(BlockedBy::LowBattery),
    Some(BlockedBy::ShutdownPending),
    Some(BlockedBy::PowerUnknown),
    Some(BlockedBy::ClockSkew),
    Some(BlockedBy::HostUnreachable),
    Some(BlockedBy::HostBusy),
    Some(BlockedBy::HostRefused),
    Some(BlockedBy::HostAnswerRefused),
    Some(BlockedBy::WrongHost),
    Some(BlockedBy::SpecInvalid),
    Some(BlockedBy::IssuerUnavailable),
    Some(BlockedBy::IssuerRefused),
    Some(BlockedBy::IssuerEnding),
    Some(BlockedBy::SecretUnavailable),
    Some(BlockedBy::NotGranted),
    Some(BlockedBy::Conflict),
    Some(BlockedBy::BackingOff),
    Some(BlockedBy::DriftRecurs),
    Some(BlockedBy::RotationStuck),
];

fn rotating(mut claim: Contender) -> Contender {
    let rotation = json!({
        "generation": 1, "trigger": "FirstIssue", "state": "Requested", "startedAt": "2026-01-01T00:00:00Z",
        "attempts": 1, "requestDigest": "d",
    });
    claim.status.rotation = serde_json::from_value(rotation).ok();
    claim
}

/// Every state that a resource may be left in.
fn states(namespace: &str, name: &str, created: i64) -> Vec<Contender> {
    let mut states = Vec::new();
    for by in BLOCKED_BY {
        let plain = claim(namespace, name, created, by);
        let all = [
            plain.clone(),
            unlooked(plain.clone()),
            verified(plain.clone()),
            rotating(plain.clone()),
            adopted(plain.clone()),
            moved(plain.clone()),
            unlooked(moved(plain.clone())),
            moved_long_ago(plain.clone()),
            rotating(moved(plain.clone())),
            rotating(verified(plain)),
        ];
        for state in all {
            let mut deleted = state.clone();
            (deleted.deleted, deleted.held) = (true, true);
            states.extend([state, deleted]);
        }
    }
    states
}

/// Holds B9: whatever states they are left in, they never both stand back, and once one of them has begun a rotation the
/// other does not.
#[test]
fn of_two_in_any_states_one_goes_on_and_no_other_after_it() {
    let ages = [(1, 2), (2, 1), (1, 1)];
    for (namespace, (one, two)) in ["fleet", "other"].into_iter().flat_map(|other| ages.map(|ages| (other, ages))) {
        let (firsts, seconds) = (states("fleet", "a", one), states(namespace, "b", two));
        for (a, b) in firsts.iter().flat_map(|a| seconds.iter().map(move |b| (a, b))) {
            let stands_back = |own: &Contender, other: &Contender| owner_of(own, other).is_some();
            assert!(!(stands_back(a, b) && stands_back(b, a)), "{a:?} {b:?}");
            for (opens, other) in [(a, b), (b, a)] {
                // What the status says once the rotation is on its way
                let mut opened = rotating(opens.clone());
                opened.status.blocked_by = None;
                opened.status.observed_generation = Some(2);
                let may_open = !opens.deleted && !stands_back(opens, other);
                assert!(!may_open || stands_back(other, &opened), "{opened:?} {other:?}");
            }
        }
    }
}

/// Holds B9: an owner with a mistyped URL or Secret lost its agent to an older resource, which then adopted the leaf.
#[test]
fn a_mistake_in_the_spec_loses_an_owner_its_agent_to_nobody_in_its_namespace() {
    // Another has answered there, or the host itself refuses it
    let answered = |by| matches!(by, Some(BlockedBy::WrongHost));
    let refused = |by| matches!(by, Some(BlockedBy::HostRefused));
    for by in BLOCKED_BY {
        for moved in [moved(claim("fleet", "owner", 2, by)), moved_long_ago(claim("fleet", "owner", 2, by))] {
            let owner = if refused(by) || by == Some(BlockedBy::NotGranted) {
                unheard(moved, by.expect("it is blocked"))
            } else {
                moved
            };
            let is_kept = !answered(by) && !refused(by);
            for stand in BLOCKED_BY {
                let older = claim("fleet", "older", 1, stand);
                assert_eq!(owner_of(&older, &owner).is_some(), is_kept, "{by:?} {stand:?}");
                let stranger = Contender { namespace: "other".into(), ..older };
                assert_eq!(owner_of(&stranger, &owner), None, "a leaf of another address in another namespace: {by:?}");
            }
            assert_eq!(owner_of(&owner, &claim("fleet", "older", 1, Some(BlockedBy::Conflict))), None, "{by:?}");
        }
    }
}

/// Holds B9: a host that was down for one look gave its agent to whoever waited, in the middle of the first rotation.
#[test]
fn a_first_rotation_that_is_not_heard_of_just_now_keeps_the_agent_in_its_namespace() {
    for by in [BlockedBy::HostUnreachable, BlockedBy::HostAnswerRefused, BlockedBy::SpecInvalid] {
        let owner = rotating(claim("fleet", "owner", 2, Some(by)));
        for stand in [None, Some(BlockedBy::Conflict)] {
            let older = claim("fleet", "older", 1, stand);
            assert_eq!(owner_of(&older, &owner).as_deref(), Some("owner"), "{by:?} {stand:?}");
            let stranger = Contender { namespace: "other".into(), ..older };
            assert_eq!(owner_of(&stranger, &owner), None, "{by:?} {stand:?}");
        }
    }
    let refused = unheard(rotating(claim("fleet", "owner", 2, Some(BlockedBy::HostRefused))), BlockedBy::HostRefused);
    assert_eq!(owner_of(&claim("fleet", "older", 1, None), &refused), None, "its client may not look at the host");
}

/// Holds B9: whoever adopted a leaf was taken for its owner when it was the older one.
#[test]
fn of_two_that_were_verified_the_one_that_issued_the_leaf_is_the_owner() {
    for (one, two) in BLOCKED_BY.into_iter().flat_map(|one| BLOCKED_BY.map(|two| (one, two))) {
        // These were not verified by what stands there now
        if [one, two].contains(&Some(BlockedBy::WrongHost)) {
            continue;
        }
        for (namespace, age) in [("fleet", 1), ("other", 1), ("fleet", 3), ("other", 3)] {
            let issued = verified(claim("fleet", "issued", 2, one));
            let finder = adopted(claim(namespace, "adopted", age, two));
            assert_eq!(owner_of(&issued, &finder), None, "{one:?} {two:?}");
            assert_eq!(owner_of(&finder, &issued).as_deref(), Some("issued"), "{one:?} {two:?}");
        }
    }
}

/// Holds B9: who comes back to an address that it has left is taken for verified there by nobody but its own namespace, and
/// by nobody where it was refused since.
#[test]
fn a_leaf_of_the_past_keeps_nobody_in_another_namespace_out() {
    for by in BLOCKED_BY {
        let mut back = verified(claim("other", "back", 1, by));
        back.status.leaf.as_mut().expect("a leaf").verified_client = None;
        let owner = claim("fleet", "owner", 2, None);
        for owner in [adopted(owner.clone()), verified(owner.clone()), rotating(owner)] {
            assert_eq!(owner_of(&owner, &back), None, "{by:?}");
            assert_eq!(owner_of(&back, &owner).as_deref(), Some("owner"), "{by:?}");
        }
    }
}

/// Holds B9: one whose status cannot be written any more kept others out by what it says for good.
#[test]
fn what_stands_in_a_status_that_cannot_be_written_is_no_claim() {
    let own = claim("fleet", "owner", 2, None).claim();
    for state in states("fleet", "large", 1).into_iter().chain(states("other", "large", 1)) {
        let unknown = unlooked(state.clone());
        let standing = unknown.claim().standing;
        assert!(standing == ClaimStrength::None || standing >= ClaimStrength::Adopted, "{unknown:?}");
        let refused = state.claim().unwritten(false);
        assert_eq!(owner(&own, [&refused]), None, "{state:?}");
        let kept = state.claim().unwritten(true);
        let is_verified = state.claim().is_verified();
        assert_eq!(owner(&own, [&kept]).is_some(), is_verified, "{state:?}");
    }
}

/// Two that look at each other never both stand back, and never both go on.
#[test]
fn of_two_exactly_one_is_the_owner() {
    let blocked = [None, Some(BlockedBy::OnBattery), Some(BlockedBy::Paused)];
    for (one, two) in blocked.iter().flat_map(|one| blocked.iter().map(move |two| (*one, *two))) {
        for (created, other) in [(1, 2), (2, 1), (1, 1)] {
            let (a, b) = (claim("fleet", "a", created, one), claim("fleet", "b", other, two));
            assert_ne!(owner_of(&a, &b).is_some(), owner_of(&b, &a).is_some(), "{one:?} {two:?}");
        }
    }
}
