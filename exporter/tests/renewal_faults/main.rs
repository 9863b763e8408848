//! Repairs of the class trigger, broken at every step: by the product's program, by the end of the exporter, by a disk that takes nothing.
//!
//! What the vendors' notices have people do is a row of steps, and a fault can come between any two and into the middle of one. Whatever it
//! is: the repair ends decided, the site's own script is what it was, the certificate is the old one or a whole new one, the reason is one
//! that the documentation explains, and the next attempt is taken. What each fault comes to is a line of the snapshot.

#![allow(clippy::unwrap_used, reason = "tests")]

mod rig;
#[path = "../support/mod.rs"]
mod support;

use std::future::Future;
use std::sync::Mutex;
use std::thread;

use kagiban_crds::host_api::RotationState;

use rig::{Product, Rig};
use support::AGENT;
use support::wire::Api;

/// A fault mostly waits: for a program that hangs, or until a certificate is given up.
const WORKERS: usize = 6;

/// What a product's program does at a point: the words of a shell.
const FAILS: (&str, &str) = ("fails", "exit 3");
const ENDS_WELL: (&str, &str) = ("ends well and has done no more", "exit 0");
const HANGS: (&str, &str) = ("hangs", "sleep 600");
const IS_KILLED: (&str, &str) = ("is killed", "kill -9 $$");
const BREAKS: [(&str, &str); 4] = [FAILS, ENDS_WELL, HANGS, IS_KILLED];

/// Each fault of `faults` on a host and in a thread of its own, as an exporter has one for each agent; a line for each, in order.
fn swept<T: Send, F: Future<Output = String>>(
    faults: impl IntoIterator<Item = T>,
    of: impl Fn(T) -> F + Sync,
) -> String {
    let faults: Vec<_> = faults.into_iter().collect();
    let count = faults.len();
    let (next, lines) = (Mutex::new(faults.into_iter().enumerate()), Mutex::new(vec![String::new(); count]));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let take = || next.lock().unwrap().next();
                while let Some((number, fault)) = take() {
                    let line = alone(of(fault));
                    lines.lock().unwrap()[number] = line;
                }
            });
        }
    });
    format!("{count} faults\n{}\n", lines.into_inner().unwrap().join("\n"))
}

const fn of_program(goes_on: bool) -> &'static str {
    if goes_on { "goes on" } else { "is killed too" }
}

fn alone<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn whatever_a_products_program_does_the_repair_ends_decided_with_the_users_script_and_a_whole_certificate() {
    let at = |product: Product, points: &'static [&'static str], first: Option<(&'static str, &'static str)>| {
        let broken = points.iter().flat_map(|point| BREAKS.map(|(name, shell)| (*point, name, shell)));
        broken.map(move |(point, name, shell)| (product, first, point, name, shell)).collect::<Vec<_>>()
    };
    let faults = [
        at(Product::BusinessEdition, Product::BusinessEdition.points(), None),
        at(Product::AntiVirus, &["b-begun", "b-half", "b-written", "c-begun", "c-half", "c-written"], None),
        // What brings back is run where the renewal has left something else than was there.
        at(Product::AntiVirus, &["r-begun", "r-half", "r-written"], Some(("c-half", "exit 3"))),
    ];
    let told = swept(faults.concat(), async |(product, first, point, name, shell)| {
        let rig = Rig::new(product).await;
        let at_first = first.map(|(point, shell)| {
            rig.at(point, shell);
            format!("{point} fails, ")
        });
        rig.at(point, shell);
        let report = rig.renewed().await;
        let line = rig.judged(&report, &format!("{}{point} {name}", at_first.unwrap_or_default()));
        rig.is_taken_again(&report).await;
        line
    });
    insta::assert_snapshot!("faults_of_a_program", told);
}

/// The renewal is committed, and somebody wants the certificate from before.
#[test]
fn whatever_the_program_that_brings_back_by_order_does_it_ends_decided() {
    let points = ["r-begun", "r-half", "r-written"];
    let faults = points.into_iter().flat_map(|point| BREAKS.map(|(name, shell)| (point, name, shell)));
    let told = swept(faults, async |(point, name, shell)| {
        let rig = Rig::new(Product::AntiVirus).await;
        assert_eq!(rig.renewed().await.state, RotationState::Committed);
        rig.at(point, shell);
        let report = rig.ordered_back().await;
        rig.judged(&report, &format!("by order, {point} {name}"))
    });
    insta::assert_snapshot!("faults_of_a_program_by_order", told);
}

#[test]
fn a_repair_whose_exporter_ends_between_two_entries_of_its_journal_ends_decided() {
    let mut faults = Vec::new();
    for product in Product::ALL {
        let whole = alone(async { Rig::new(product).await.entries().await });
        faults.extend((0..whole).map(|edge| (product, edge)));
    }
    let told = swept(faults, async |(product, edge)| {
        let rig = Rig::new(product).await;
        rig.ended_at_entry(edge).await;
        let report = rig.found_again().await;
        let line = rig.judged(&report, &format!("the exporter ends after entry {edge}"));
        assert_eq!(rig.found_again().await, report, "another start changes nothing");
        rig.is_taken_again(&report).await;
        line
    });
    insta::assert_snapshot!("ends_between_entries", told);
}

/// The exporter alone, or the host with it.
#[test]
fn a_repair_whose_exporter_ends_in_the_middle_of_a_program_ends_decided() {
    let of_anti_virus = Product::AntiVirus.points().iter().filter(|point| !point.starts_with('r'));
    let points = Product::BusinessEdition.points().iter().map(|point| (Product::BusinessEdition, *point));
    let points = points.chain(of_anti_virus.map(|point| (Product::AntiVirus, *point)));
    let faults = points.flat_map(|(product, point)| [true, false].map(|goes_on| (product, point, goes_on)));
    let told = swept(faults, async |(product, point, goes_on)| {
        let rig = Rig::new(product).await;
        let report = rig.ended_in(point, goes_on).await;
        let line = rig.judged(&report, &format!("the exporter ends in {point}, the program {}", of_program(goes_on)));
        assert_eq!(rig.found_again().await, report, "another start changes nothing");
        rig.is_taken_again(&report).await;
        line
    });
    insta::assert_snapshot!("ends_in_a_program", told);
}

/// What brings back, in a renewal that has failed.
#[test]
fn a_repair_whose_exporter_ends_while_it_brings_back_ends_decided() {
    let faults = ["r-begun", "r-half", "r-written"].into_iter().flat_map(|point| [(point, true), (point, false)]);
    let told = swept(faults, async |(point, goes_on)| {
        let rig = Rig::new(Product::AntiVirus).await;
        rig.at("c-half", "exit 3");
        let report = rig.ended_in(point, goes_on).await;
        let line = rig.judged(&report, &format!("the exporter ends in {point}, the program {}", of_program(goes_on)));
        rig.is_taken_again(&report).await;
        line
    });
    insta::assert_snapshot!("ends_while_it_brings_back", told);
}

/// After four ends nothing more is tried, and the program of the first may go on for all that: what it writes over comes back when it has
/// ended.
#[test]
fn a_repair_whose_exporter_ends_again_and_again_is_given_up_and_the_users_script_is_back() {
    let faults =
        [(Product::BusinessEdition, "begun"), (Product::BusinessEdition, "half-store"), (Product::AntiVirus, "c-half")];
    let told = swept(
        faults.into_iter().flat_map(|(product, point)| [(product, point, true), (product, point, false)]),
        async |(product, point, goes_on)| {
            let rig = Rig::new(product).await;
            rig.waits_at(point);
            rig.ended_in_program().await;
            rig.ended_in_recovery(3).await;
            if !goes_on {
                rig.program_is_killed().await;
            }
            let frozen = rig.found_again().await;
            assert_eq!(frozen.state, RotationState::Frozen, "{frozen:#?}");
            if goes_on {
                assert_eq!(rig.found_again().await, frozen, "nothing is put back under a program that writes over it");
                rig.goes_on();
                rig.program_has_ended().await;
            }
            let report = rig.found_again().await;
            let what = format!("the exporter ends four times in {point}, the program {}", of_program(goes_on));
            rig.judged(&report, &what)
        },
    );
    insta::assert_snapshot!("ends_again_and_again", told);
}

/// A full disk: no entry is written from one on, and there is room again when the repair has ended, or when the exporter has.
#[test]
fn a_repair_whose_journal_cannot_be_written_from_an_entry_on_ends_decided() {
    let mut faults = Vec::new();
    for product in Product::ALL {
        let whole = alone(async { Rig::new(product).await.entries().await });
        faults.extend((0..whole).flat_map(|edge| [(product, edge, false), (product, edge, true)]));
    }
    let told = swept(faults, async |(product, edge, ends)| {
        let rig = Rig::new(product).await;
        let report = rig.disk_full_from_entry(edge, ends).await;
        let line = rig.judged(
            &report,
            &format!("the disk is full after entry {edge}{}", if ends { ", and the exporter ends" } else { "" }),
        );
        rig.is_taken_again(&report).await;
        line
    });
    insta::assert_snapshot!("full_disk_for_the_journal", told);
}

/// What else is written: copies of what the program writes over, the product's own backup, and what is put back.
#[test]
fn a_repair_that_cannot_write_its_copies_its_backup_or_what_it_puts_back_ends_decided() {
    let of_exporter = [
        (Product::BusinessEdition, "backups", "no room for copies"),
        (Product::AntiVirus, "product-backups", "no room for the product's own backup"),
    ];
    let in_program = [
        (Product::BusinessEdition, "script", "rm $script; mkdir $script", "the script cannot be put back"),
        (
            Product::BusinessEdition,
            "script",
            "rm $script; mkdir $script; exit 3",
            "the script cannot be put back, and it fails",
        ),
        (Product::BusinessEdition, "no-store", "mkdir $certificate; exit 3", "the store cannot be put back"),
        (Product::AntiVirus, "b-half", "echo 'No space left on device' >&2; exit 1", "no room for the whole backup"),
        (Product::AntiVirus, "c-written", "echo damaged > $backup; exit 3", "the backup is damaged meanwhile"),
        (Product::AntiVirus, "c-half", "rm $backup; exit 3", "the backup is lost meanwhile"),
    ];
    let of_exporter = of_exporter.map(|(product, blocked, told)| (product, Some(blocked), None, told));
    let in_program = in_program.map(|(product, point, shell, told)| (product, None, Some((point, shell)), told));
    let told = swept(of_exporter.into_iter().chain(in_program), async |(product, blocked, fault, told)| {
        let rig = Rig::new(product).await;
        let blocked = blocked.map(|name| rig.block_state(name));
        if let Some((point, shell)) = fault {
            rig.at(point, shell);
        }
        let report = rig.renewed().await;
        let line = rig.judged(&report, told);
        if let Some(blocked) = blocked {
            std::fs::remove_file(blocked).unwrap();
        }
        rig.is_taken_again(&report).await;
        line
    });
    insta::assert_snapshot!("full_disk_for_all_else", told);
}

/// The network is cut after the order, and whoever gave it gives it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_whose_order_is_not_answered_is_carried_out_once() {
    for product in Product::ALL {
        let rig = Rig::named(product, AGENT.to_owned()).await;
        let api = Api::start(&rig.world).await;
        tokio::select! {
            _ = api.renew(1, 1) => {}
            () = rig.has_begun() => {}
        }
        api.renew(1, 1).await.unwrap();
        let report = api.decided(1).await;
        assert_eq!(report.state, RotationState::Committed, "{report:#?}");
        rig.judged(&report, "cut off");
        api.stop().await;
    }
}
