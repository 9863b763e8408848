//! What the watch shows, and what follows for whom.

use kagiban_crds::resource::FINALIZER;
use serde_json::json;

use super::compact::Packed;
use super::*;

#[expect(clippy::needless_pass_by_value, reason = "a literal at every call")]
fn object(name: &str, host: &str, change: serde_json::Value) -> Watched {
    let mut object = json!({
        "apiVersion": "kagiban.dev/v1alpha1",
        "kind": "ManagedAgentCertificate",
        "metadata": {"name": name, "namespace": "fleet", "uid": name, "generation": 1},
        "spec": {
            "host": host,
            "agent": {"product": "tls-service", "name": "web"},
            "api": {"hostApi": {"url": format!("https://{host}"), "tlsSecretRef": {"name": "fleet-client"}}},
            "certificate": {"dnsNames": [host]},
            "issuerRef": {"name": "fleet-ca"},
        },
    });
    merge(&mut object, &change);
    serde_json::from_value::<Watched>(object).expect("metadata")
}

fn merge(into: &mut serde_json::Value, from: &serde_json::Value) {
    match (into, from) {
        (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(serde_json::Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn wakes(changes: &[FleetChange]) -> bool {
    changes.iter().any(|change| matches!(change, FleetChange::Wakes(_)))
}

/// Holds B9: a deletion that the watch has missed kept others from the agent until the next list, ten minutes later.
#[test]
fn what_a_fresh_read_finds_gone_keeps_nobody_out_and_another_of_its_name_stays() {
    let fleet = Fleet::default();
    let mac = |object: &Watched| object.0.as_ref().expect("it is readable").clone();
    let conflict = json!({"status": {"blockedBy": "Conflict"}});
    let (gone, other) = (object("a", "h", json!({})), object("b", "h", conflict));
    for object in [&gone, &other] {
        fleet.apply(Event::Apply(object.clone()));
    }
    let before = fleet.claims(&mac(&other)).len();
    fleet.found_gone(&mac(&object("a", "h", json!({"metadata": {"uid": "before"}}))));
    assert_eq!(fleet.claims(&mac(&other)).len(), before);
    fleet.found_gone(&mac(&gone));
    assert_eq!(fleet.claims(&mac(&other)).len(), before - 1);
    assert!(!fleet.holds(&ResourceName::new("fleet", "a")) && fleet.holds(&ResourceName::new("fleet", "b")));
    let name = |name| ResourceName::new("fleet", name);
    assert_eq!(fleet.found(), [FleetChange::Gone(name("a"), "a".into()), FleetChange::Wakes(name("b"))]);
    assert_eq!(fleet.found(), []);
}

/// Holds B8: a write of the status, ours or another's, wakes nothing. After a restore of etcd, another spec may have the same
/// generation.
#[test]
fn only_what_a_decision_depends_on_wakes_a_resource() {
    let fleet = Fleet::default();
    assert!(wakes(&fleet.apply(Event::Apply(object("a", "h", json!({}))))));
    let other_spec = json!({"metadata": {"generation": 2}, "spec": {"issuerRef": {"name": "other"}}});
    for (what, change, expected) in [
        ("the same again", json!({}), false),
        ("a status", json!({"status": {"blockedBy": "OnBattery"}}), false),
        ("a label", json!({"metadata": {"labels": {"a": "b"}}}), false),
        ("a foreign annotation", json!({"metadata": {"annotations": {"example.com/at": "now"}}}), false),
        ("another of our group", json!({"metadata": {"annotations": {"kagiban.dev/note": "now"}}}), false),
        ("a finalizer of others", json!({"metadata": {"finalizers": ["example.com/backup"]}}), false),
        ("our annotation", json!({"metadata": {"annotations": {"kagiban.dev/rotate": "now"}}}), true),
        ("a finalizer", json!({"metadata": {"finalizers": ["kagiban.dev/rotation"]}}), true),
        ("a spec", json!({"metadata": {"generation": 2}}), true),
        ("another spec by the same number", other_spec, true),
        ("a deletion", json!({"metadata": {"generation": 2, "deletionTimestamp": "2026-01-01T00:00:00Z"}}), true),
    ] {
        assert_eq!(wakes(&fleet.apply(Event::Apply(object("a", "h", change)))), expected, "{what}");
    }
}

/// Holds B14: what no decision needs is not kept.
#[test]
fn managed_fields_and_copies_of_manifests_are_not_kept() {
    let fleet = Fleet::default();
    let change = json!({"metadata": {
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kagiban.dev/rotate": "1"},
    }});
    fleet.apply(Event::Apply(object("a", "h", change)));
    let kept = fleet.get(&ResourceName::new("fleet", "a")).expect("it is there");
    assert_eq!(kept.metadata().managed_fields, None);
    assert_eq!(
        kept.metadata().annotations.iter().flatten().map(|(key, _)| key).collect::<Vec<_>>(),
        ["kagiban.dev/rotate"]
    );
}

/// Holds B14: an object may have 256 KiB of annotations, whatever they are called, and no end of finalizers.
#[test]
fn no_annotation_and_no_finalizer_takes_memory_by_its_length() {
    let fleet = Fleet::default();
    let (long, name) = ("x".repeat(100 << 10), ResourceName::new("fleet", "a"));
    let put = |rotate: &str| {
        let finalizers: Vec<_> = (0..1000).map(|n| format!("example.com/{n}")).chain([FINALIZER.into()]).collect();
        let annotations = json!({"kagiban.dev/note": long, "kagiban.dev/rotate": rotate});
        let change = json!({"metadata": {"annotations": annotations, "finalizers": finalizers}});
        wakes(&fleet.apply(Event::Apply(object("a", "h", change))))
    };
    assert!(put(&long));
    assert!(fleet.lock().resources.get(&name).expect("it is there").text.0.len() < 1024);
    let kept = fleet.get(&name).expect("it is there");
    assert_eq!(kept.metadata().finalizers.as_deref(), Some(&[FINALIZER.to_owned()][..]));
    assert!(!put(&long) && put(&format!("{long}y")), "another value is seen as one");
}

/// Holds B14: rivals are found by the agent, not by reading all resources.
#[test]
fn claims_are_those_of_the_same_agent_and_leave_with_it() {
    let fleet = Fleet::default();
    for (name, host) in [("a", "h"), ("b", "h"), ("c", "other")] {
        fleet.apply(Event::Apply(object(name, host, json!({}))));
    }
    let of = |name: &str| {
        let object = fleet.get(&ResourceName::new("fleet", name)).expect("it is there");
        let mac = object.0.as_ref().expect("readable").clone();
        (Arc::new(claim(&mac)), fleet.claims(&mac))
    };
    let ((a, of_a), (b, _), (c, of_c)) = (of("a"), of("b"), of("c"));
    assert!(of_a.len() == 2 && of_a.contains(&a) && of_a.contains(&b), "{of_a:?}");
    assert_eq!(of_c, [c]);
    fleet.apply(Event::Delete(object("b", "h", json!({}))));
    assert_eq!(of("a").1, [a]);
}

/// Holds B9: one address that is written in two ways is one agent, and one host.
#[test]
fn an_address_that_is_written_in_two_ways_is_one() {
    for [one, other] in [
        ["https://[::1]", "https://[0:0:0:0:0:0:0:1]"],
        ["https://[fd00::a]:9995", "https://[fd00:0:0::000a]:09995"],
        ["https://h", "https://h:09995"],
    ] {
        let of = |url: &str| {
            let seen = object("a", "h", json!({"spec": {"api": {"hostApi": {"url": url}}}}));
            let mac = seen.0.as_ref().expect("readable");
            (url.parse::<HostUrl>().expect("a URL"), HostKey::of(&seen), agent_keys(mac))
        };
        assert_eq!(of(one), of(other));
    }
}

/// An event that comes late, twice or out of order.
#[test]
fn a_deletion_of_another_object_or_of_an_older_version_deletes_nothing() {
    let fleet = Fleet::default();
    let of = |uid: &str, version: &str| object("a", "h", json!({"metadata": {"uid": uid, "resourceVersion": version}}));
    let is_there = |fleet: &Fleet| fleet.get(&ResourceName::new("fleet", "a")).is_some();
    fleet.apply(Event::Apply(of("new", "7")));
    for late in [of("old", "5"), of("old", "9"), of("new", "6")] {
        fleet.apply(Event::Delete(late));
        assert!(is_there(&fleet));
    }
    fleet.apply(Event::Delete(of("new", "8")));
    assert!(!is_there(&fleet));
}

#[test]
fn a_list_that_breaks_off_deletes_nothing_and_a_whole_one_deletes_what_is_not_in_it() {
    let fleet = Fleet::default();
    for name in ["a", "b"] {
        fleet.apply(Event::Apply(object(name, name, json!({}))));
    }
    fleet.apply(Event::Init);
    fleet.apply(Event::InitApply(object("a", "a", json!({}))));
    // It broke off here
    fleet.apply(Event::Init);
    assert_eq!(fleet.summaries().len(), 2);
    fleet.apply(Event::InitApply(object("b", "b", json!({}))));
    let gone = fleet.apply(Event::InitDone);
    assert_eq!(gone, [FleetChange::Gone(ResourceName::new("fleet", "a"), "a".into())]);
}

#[test]
fn another_object_by_the_same_name_is_another_resource() {
    let fleet = Fleet::default();
    fleet.apply(Event::Apply(object("a", "h", json!({}))));
    let changes = fleet.apply(Event::Apply(object("a", "h", json!({"metadata": {"uid": "new"}}))));
    let name = ResourceName::new("fleet", "a");
    assert_eq!(changes, [FleetChange::Gone(name.clone(), "a".into()), FleetChange::Wakes(name)]);
}

/// Holds B14: any number of resources was kept. One namespace takes no room from another, whose resources come first or last.
#[test]
fn beyond_the_room_the_namespace_that_takes_the_most_has_some_left_out_and_that_is_known() {
    let room =
        |resources, bytes| Fleet(Mutex::new(Resources { room: Room { resources, bytes }, ..Resources::default() }));
    let of = |namespace: &str, number: u32| {
        let name = format!("{namespace}-{number}");
        object(&name, &name, json!({"metadata": {"namespace": namespace}}))
    };
    let bytes = Packed::of(&of("few", 0)).0.len();
    for fleet in [room(10, usize::MAX), room(usize::MAX, 10 * bytes + bytes / 2)] {
        let list = || {
            let many = (0..20).map(|number| of("many", number));
            let few = (0..3).map(|number| of("few", number));
            fleet.apply(Event::Init);
            let changes: Vec<_> = many.chain(few).flat_map(|object| fleet.apply(Event::InitApply(object))).collect();
            fleet.apply(Event::InitDone);
            let kept: HashSet<_> = fleet.summaries().into_iter().map(|(name, _)| name).collect();
            let state = fleet.lock();
            assert_eq!(state.shares.in_all(), state.resources.values().map(CompactResource::bytes).sum::<usize>());
            (kept, changes)
        };
        let (kept, changes) = list();
        assert_eq!(kept.iter().filter(|name| name.namespace() == "few").count(), 3);
        assert!((9..=10).contains(&kept.len()), "{}", kept.len());
        assert_eq!(fleet.left_out(), 23 - kept.len());
        assert_eq!(changes.iter().filter(|change| matches!(change, FleetChange::Gone(..))).count(), 3, "{changes:?}");
        // Those that are kept stay, and nobody is woken for it
        let (again, changes) = list();
        assert_eq!((again, changes), (kept.clone(), Vec::new()));
        // A new one of a small namespace is let in, and one of the largest is not
        fleet.apply(Event::Apply(of("many", 99)));
        assert!(!fleet.holds(&ResourceName::new("many", "many-99")));
        fleet.apply(Event::Apply(of("another", 0)));
        assert!(fleet.holds(&ResourceName::new("another", "another-0")) && fleet.left_out() > 0);
        // And one whose time has come leaves its room to others
        for name in kept {
            let (namespace, name) = name.parts();
            fleet.apply(Event::Delete(object(name, name, json!({"metadata": {"namespace": namespace}}))));
        }
        fleet.apply(Event::Init);
        fleet.apply(Event::InitApply(of("many", 99)));
        fleet.apply(Event::InitDone);
        assert_eq!((fleet.left_out(), fleet.summaries().len()), (0, 1));
    }
}

/// Holds B9: what was written is known at once, and a watch that is behind does not take it back.
#[test]
fn a_status_that_was_written_is_known_before_the_watch_shows_it_and_after_it_shows_the_past() {
    let fleet = Fleet::default();
    let at = |version: &str, change: serde_json::Value| {
        let mut object = object("a", "h", json!({"metadata": {"resourceVersion": version}}));
        let mut whole = serde_json::to_value(&object).expect("plain data");
        merge(&mut whole, &change);
        object = serde_json::from_value(whole).expect("metadata");
        object
    };
    let blocked_by = || {
        let kept = fleet.get(&ResourceName::new("fleet", "a")).expect("it is there");
        kept.readable().and_then(|mac| mac.status.clone()).and_then(|status| status.blocked_by)
    };
    fleet.apply(Event::Apply(at("7", json!({}))));
    let written = at("9", json!({"metadata": {"generation": 2}, "status": {"blockedBy": "OnBattery"}}));
    fleet.wrote(written.readable().expect("a resource"));
    assert_eq!(blocked_by(), Some(BlockedBy::OnBattery));
    assert_eq!(fleet.apply(Event::Apply(at("8", json!({"metadata": {"generation": 2}})))), []);
    assert_eq!(blocked_by(), Some(BlockedBy::OnBattery));
    assert!(wakes(&fleet.apply(Event::Apply(written))), "the spec is seen to have changed all the same");
}

/// Holds B9: the list every ten minutes took back the statuses and specs that were written while it was read, a rotation's
/// generation among them.
#[test]
fn a_list_takes_back_nothing_that_was_written_while_it_was_read() {
    let fleet = Fleet::default();
    let at = |version: u64, by: &str| {
        let change = json!({"metadata": {"resourceVersion": version.to_string()}, "status": {"blockedBy": by}});
        object("a", "h", change)
    };
    let blocked_by = || {
        let kept = fleet.get(&ResourceName::new("fleet", "a")).expect("it is there");
        kept.readable().and_then(|mac| mac.status.clone()).and_then(|status| status.blocked_by)
    };
    let list = |version, known: u64, by: &str, meanwhile: Option<Watched>| {
        fleet.apply(Event::Init);
        fleet.apply(Event::InitPage(version));
        if let Some(written) = meanwhile {
            fleet.wrote(written.readable().expect("a resource"));
        }
        fleet.apply(Event::InitApply(at(known, by)));
        fleet.apply(Event::InitDone);
        blocked_by()
    };
    fleet.apply(Event::Apply(at(7, "Frozen")));
    assert_eq!(list(Some(8), 7, "Frozen", Some(at(9, "OnBattery"))), Some(BlockedBy::OnBattery));
    // Read after it was written, so it is what there is: the API server was restored and has counted on since
    assert_eq!(list(Some(12), 8, "Paused", None), Some(BlockedBy::Paused));
    // Older than what was known before: it was restored just now
    fleet.apply(Event::Apply(at(20, "Frozen")));
    assert_eq!(list(Some(15), 5, "OnBattery", None), Some(BlockedBy::OnBattery));
    // And counts from there
    assert_eq!(list(Some(16), 5, "OnBattery", Some(at(17, "Paused"))), Some(BlockedBy::Paused));
    // Versions that are no numbers say nothing
    assert_eq!(list(None, 5, "Frozen", None), Some(BlockedBy::Frozen));
}

/// Holds B9: two resources take no step at the same agent at the same time.
#[test]
fn one_resource_at_a_time_reserves_an_agent() {
    let fleet = Fleet::default();
    let [a, b, c] = [("a", "h"), ("b", "h"), ("c", "other")].map(|(name, host)| object(name, host, json!({})));
    let elsewhere = json!({"spec": {"api": {"hostApi": {"url": "https://mine", "tlsSecretRef": {"name": "mine"}}}}});
    let elsewhere = object("elsewhere", "h", elsewhere);
    let reserve = |object: &Watched| fleet.reserve(object.readable().expect("a resource"));
    let held = reserve(&a).expect("nobody has it");
    assert!(reserve(&b).is_none() && reserve(&c).is_some());
    assert!(reserve(&elsewhere).is_some(), "a server that takes its time holds up nobody who means another");
    drop(held);
    assert!(reserve(&b).is_some());
}

/// Holds B9: whoever was kept from an agent is woken when that may be over, and not only at the resync.
#[test]
fn a_resource_in_conflict_is_woken_when_another_one_changes_or_goes() {
    let fleet = Fleet::default();
    let conflict = json!({"status": {"blockedBy": "Conflict"}});
    fleet.apply(Event::Apply(object("owner", "h", json!({}))));
    for number in 0..40 {
        fleet.apply(Event::Apply(object(&format!("waits-{number}"), "h", conflict.clone())));
    }
    fleet.apply(Event::Apply(object("elsewhere", "other", conflict)));
    fleet.apply(Event::Apply(object("rests", "h", json!({}))));
    let woken = |changes: &[FleetChange]| {
        let of = |change: &FleetChange| match change {
            FleetChange::Wakes(name) => name.parts().1.starts_with("waits-"),
            FleetChange::Gone(..) => false,
        };
        (changes.iter().filter(|change| of(change)).count(), changes.len())
    };
    let same = fleet.apply(Event::Apply(object("owner", "h", json!({"status": {"blockedBy": "OnBattery"}}))));
    assert_eq!(woken(&same), (0, 0));
    let changed = fleet.apply(Event::Apply(object("owner", "h", json!({"metadata": {"generation": 2}}))));
    assert_eq!(woken(&changed), (MOST_WOKEN, MOST_WOKEN + 1));
    let gone = fleet.apply(Event::Delete(object("owner", "h", json!({}))));
    assert_eq!(woken(&gone), (MOST_WOKEN, MOST_WOKEN + 1));
}

/// Holds B9: an object that grew too large for its status to be written kept others out by what had been there, for good.
#[test]
fn what_could_not_be_written_ends_a_claim_until_it_is() {
    let fleet = Fleet::default();
    let at = |version: u32, change: serde_json::Value| {
        let mut whole = object("large", "h", json!({"metadata": {"resourceVersion": version.to_string()}}));
        let mut value = serde_json::to_value(&whole).expect("plain data");
        merge(&mut value, &change);
        whole = serde_json::from_value(value).expect("metadata");
        whole
    };
    let leaf = json!({
        "verifiedUrl": "https://h", "verifiedClient": "fleet-client", "sha256": "ab".repeat(32), "serial": "1",
        "issuer": "CN=x", "requestDigest": "d", "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-03-01T00:00:00Z",
    });
    let verified = json!({"status": {"observedGeneration": 1, "leaf": leaf}});
    let mac = |object: &Watched| object.readable().expect("a resource").clone();
    let is_kept = |fleet: &Fleet| {
        let claims = fleet.claims(&mac(&at(1, json!({}))));
        claims.iter().all(|claim| claim.is_verified())
    };
    let stored = at(1, verified.clone());
    fleet.apply(Event::Apply(stored.clone()));
    let refused = json!({"status": {"blockedBy": "HostRefused", "leaf": {"verifiedUrl": null}}});
    let (same, refused) = (mac(&stored).status.expect("a status"), {
        let mut value = verified.clone();
        merge(&mut value, &refused);
        mac(&at(1, value)).status.expect("a status")
    });
    fleet.could_not_write(&mac(&stored), &same);
    assert!(is_kept(&fleet), "an owner stays one whatever is noted on it");
    fleet.could_not_write(&mac(&stored), &refused);
    assert!(!is_kept(&fleet));
    assert!(!fleet.claim(&mac(&stored)).is_verified(), "nor is it in its own eyes");
    // Whatever is written to it next, it was not the status
    fleet.apply(Event::Apply(at(2, verified.clone())));
    fleet.could_not_write(&mac(&at(2, verified.clone())), &same);
    assert!(!is_kept(&fleet));
    fleet.wrote(&mac(&at(3, verified.clone())));
    assert!(is_kept(&fleet));
    fleet.could_not_write(&mac(&at(3, verified.clone())), &refused);
    assert!(!is_kept(&fleet));
    fleet.needs_no_write(&mac(&at(3, verified)));
    assert!(is_kept(&fleet));
}
