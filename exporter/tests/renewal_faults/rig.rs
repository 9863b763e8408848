//! A host with a product whose program can be broken at any of its points, and what must hold of it in the end.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use kagiban_crds::host_api::{RenewalOrder, RollbackOrder, RotationReport, RotationState, Target};
use kagiban_exporter::rotation::Rotator;
use kagiban_keystore::Format;
use rcgen::ExtendedKeyUsagePurpose;

use crate::support::service::put;
use crate::support::{HOST, PATIENCE, World, renewal};

/// What a site has made of the command file; an installer has another.
const OURS: &str = "#!/bin/sh\n# ours\n";
const OURS_MODE: u32 = 0o750;

/// The shortest archive with one entry, whose name and contents are empty.
const ARCHIVE: &[u8] = b"PK\x03\x04\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0PK\x01\x02\x1e\x03\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0PK\x05\x06\0\0\0\0\x01\0\x01\0\x2e\0\0\0\x1e\0\0\0\0\0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    /// Seed 000, 7.0 on Linux: the agent is stopped, the agent's installer writes the command file and the store, the server's follows, and the
    /// agent is started. Nothing of the product brings back what was there.
    BusinessEdition,
    /// Seeds 003 and 004: a backup, a new certificate, and what restores the backup.
    AntiVirus,
}

impl Product {
    pub(crate) const ALL: [Self; 2] = [Self::BusinessEdition, Self::AntiVirus];

    /// Where its programs can be broken, in order.
    pub(crate) const fn points(self) -> &'static [&'static str] {
        match self {
            Self::BusinessEdition => &[
                "begun",
                "stopped",
                "half-script",
                "script",
                "no-store",
                "half-store",
                "agent-installed",
                "server-installed",
                "started",
            ],
            Self::AntiVirus => {
                &["b-begun", "b-half", "b-written", "c-begun", "c-half", "c-written", "r-begun", "r-half", "r-written"]
            }
        }
    }

    const fn id(self) -> &'static str {
        match self {
            Self::BusinessEdition => "powerchute-business-edition",
            Self::AntiVirus => "virus-buster-corp",
        }
    }

    const fn certificate(self) -> &'static str {
        match self {
            Self::BusinessEdition => "commkey",
            Self::AntiVirus => "PCCSRV/Pccnt/Common/OfcNTCer.dat",
        }
    }

    /// As a shell runs it. `at` is where it can be broken.
    const fn steps(self) -> &'static str {
        match self {
            Self::BusinessEdition => {
                "trap 'exit 1' HUP INT TERM; trap 'touch $home/agent/up' EXIT\n\
                 at begun; rm -f $home/agent/up; at stopped\n\
                 printf '#!' > $script; at half-script; echo default > $script; at script\n\
                 rm -f $certificate; at no-store; head -c 300 $home/next > $certificate; at half-store\n\
                 cp $home/next $certificate; at agent-installed; at server-installed; touch $home/agent/up; at started\n"
            }
            Self::AntiVirus => {
                "[ \"$2\" = 'of the backup' ] || exit 5\n\
                 case $1 in\n\
                 -b) [ ! -e $archive ] || exit 7; at b-begun; head -c 20 $home/archive > $archive; at b-half\n\
                 cp $home/archive $archive; cp $certificate $home/saved; at b-written;;\n\
                 -c) at c-begun; head -c 300 $home/next > $certificate; at c-half; cp $home/next $certificate; at c-written;;\n\
                 -r) cmp $archive $home/archive || exit 8; at r-begun; head -c 300 $home/saved > $certificate; at r-half\n\
                 cp $home/saved $certificate; at r-written;;\n\
                 *) exit 4;;\nesac\n"
            }
        }
    }
}

pub(crate) struct Rig {
    pub(crate) world: World,
    product: Product,
    /// Of its agent. Programs that do not end are counted by it in the whole process, which other tests share.
    name: String,
    old: Vec<u8>,
    next: Vec<u8>,
}

impl Rig {
    pub(crate) async fn new(product: Product) -> Self {
        static RIGS: AtomicUsize = AtomicUsize::new(0);
        Self::named(product, format!("agent-{}", RIGS.fetch_add(1, Ordering::Relaxed))).await
    }

    pub(crate) async fn named(product: Product, name: String) -> Self {
        let mut world = World::self_renewing(2049).await;
        let [old, next] = [2040, 2049].map(|ends| {
            let identity = world.issuer.issue(HOST, ExtendedKeyUsagePurpose::ServerAuth, ends);
            match product {
                Product::BusinessEdition => put(None, "of the vendor", "securekey", &identity, Some(Format::Jks)),
                Product::AntiVirus => identity.der,
            }
        });
        let (root, home) = (world.directory.path().to_owned(), world.home());
        let certificate = home.join(product.certificate());
        fs::create_dir_all(certificate.parent().unwrap()).unwrap();
        for (path, bytes) in [
            (certificate.clone(), old.as_slice()),
            (root.join("next"), &next),
            (root.join("archive"), ARCHIVE),
            (home.join("password"), b"of the backup\n"),
            (home.join("default.sh"), OURS.as_bytes()),
        ] {
            fs::write(path, bytes).unwrap();
        }
        fs::set_permissions(home.join("default.sh"), Permissions::from_mode(OURS_MODE)).unwrap();
        let program = home.join("program");
        let script = format!(
            "#!/bin/sh\nhome={root}; certificate={certificate}; script=$home/agent/default.sh; archive=$3\n\
             backup=$home/state/product-backups/{name}/1.zip; echo >> $home/ran$1\n\
             at() {{ [ ! -e $home/at-$1 ] || . $home/at-$1; }}\n{steps}",
            root = root.display(),
            certificate = certificate.display(),
            steps = product.steps(),
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let program = program.display();
        let renew = match product {
            Product::BusinessEdition => {
                format!(
                    "renew:\n  command: ['{program}', -c]\n  keep: ['{}/default.sh']\n  timeout: 10s\n",
                    home.display()
                )
            }
            Product::AntiVirus => format!(
                "renew:\n  command: ['{program}', -c, '{{password}}']\n  back: ['{program}', -r, '{{password}}', '{{backup}}']\n  \
                 backup: {{command: ['{program}', -b, '{{password}}', '{{backup}}'], format: zip}}\n  passwordFile: '{}/password'\n  \
                 timeout: 10s\n",
                home.display()
            ),
        };
        world.agent_yaml = format!(
            "name: {name}\nproduct: {}\ndirectory: '{}'\n{renew}service: {{minRestartInterval: 0s}}\nbackups: 2\n\
             verify: {{deadline: 1s, holdDown: 50ms, interval: 20ms}}\n",
            product.id(),
            home.display(),
        );
        world.agent = serde_yaml::from_str(&world.agent_yaml).unwrap();
        Self { world, product, name, old, next }
    }

    /// What the program does at a point, in its shell.
    pub(crate) fn at(&self, point: &str, shell: &str) {
        fs::write(self.root().join(format!("at-{point}")), format!("{shell}\n")).unwrap();
    }

    /// It says that it is there, and waits for as long as the test lives.
    pub(crate) fn waits_at(&self, point: &str) {
        self.at(point, "echo $$ > $home/waiting; mv $home/waiting $home/waits; while [ -d $home ] && [ ! -e $home/go ]; do sleep 0.02; done");
    }

    pub(crate) fn goes_on(&self) {
        fs::write(self.root().join("go"), "").unwrap();
    }

    /// And is gone: the kernel ends it when it comes to it.
    pub(crate) async fn program_is_killed(&self) {
        let killed = std::process::Command::new("kill").args(["-9", &self.waiting()]).status().unwrap();
        assert!(killed.success());
        self.program_has_ended().await;
    }

    pub(crate) async fn program_has_ended(&self) {
        let process = PathBuf::from(format!("/proc/{}", self.waiting()));
        until("the program ends", || !process.exists()).await;
    }

    pub(crate) async fn has_begun(&self) {
        until("the program is run", || self.ran("-c") + self.ran("-b") > 0).await;
    }

    /// A renewal from its order to its end, and what is left to be done later.
    pub(crate) async fn renewed(&self) -> RotationReport {
        let (mut rotator, _lock) = self.world.rotator().await;
        rotator.renew(&self.order(1), Ok(())).unwrap();
        rotator.advance(|_| {}).await;
        rotator.report().unwrap()
    }

    pub(crate) async fn ordered_back(&self) -> RotationReport {
        let (mut rotator, _lock) = self.world.rotator().await;
        let back = RollbackOrder { target: self.order(1).target };
        rotator.roll_back(&back, || true).await.unwrap();
        rotator.advance(|_| {}).await;
        rotator.report().unwrap()
    }

    /// How many entries a renewal's journal has that nothing happens to, after the first.
    pub(crate) async fn entries(&self) -> usize {
        let (mut rotator, _lock) = self.world.rotator().await;
        rotator.renew(&self.order(1), Ok(())).unwrap();
        let mut entries = 0;
        rotator.advance(|_| entries += 1).await;
        assert_eq!(rotator.report().unwrap().state, RotationState::Committed);
        entries
    }

    /// The exporter ends when its journal has had so many entries after the first.
    pub(crate) async fn ended_at_entry(&self, edge: usize) {
        let (mut rotator, _lock) = self.world.rotator().await;
        rotator.renew(&self.order(1), Ok(())).unwrap();
        let mut seen = 0;
        let cut_off = AssertUnwindSafe(rotator.advance(|_| {
            seen += 1;
            assert!(seen < edge, "cut off");
        }));
        if edge > 0 {
            assert!(cut_off.catch_unwind().await.is_err());
        }
    }

    /// The exporter ends while the program waits.
    pub(crate) async fn ended_in_program(&self) {
        let (mut rotator, _lock) = self.world.rotator().await;
        rotator.renew(&self.order(1), Ok(())).unwrap();
        let waits = async {
            // The journal tells of its process a moment after that has begun.
            let is_told = || fs::read_to_string(self.journal()).is_ok_and(|text| text.contains("\"process\""));
            until("the program waits", || self.root().join("waits").exists() && is_told()).await;
        };
        tokio::select! {
            () = rotator.advance(|_| {}) => panic!("the end is not in the middle: {:#?}", rotator.report()),
            () = waits => {}
        }
    }

    /// The exporter ends in the middle of the program, which goes on or is killed too; and there is another one.
    pub(crate) async fn ended_in(&self, point: &str, goes_on: bool) -> RotationReport {
        self.waits_at(point);
        self.ended_in_program().await;
        if goes_on {
            self.goes_on();
        } else {
            self.program_is_killed().await;
        }
        self.found_again().await
    }

    /// And in its recoveries, while they wait for the program.
    pub(crate) async fn ended_in_recovery(&self, times: usize) {
        for _ in 0..times {
            let (host, _lock) = self.world.host().await;
            let mut rotator = Rotator::make_whole(host, self.world.resolved()).unwrap();
            tokio::select! {
                () = rotator.finish(|_| {}) => panic!("it did not wait: {:#?}", rotator.report()),
                () = tokio::task::yield_now() => {}
            }
        }
    }

    /// What the next start makes of it.
    pub(crate) async fn found_again(&self) -> RotationReport {
        let (rotator, _lock) = self.world.rotator().await;
        rotator.report().unwrap()
    }

    /// No entry is written after so many, until the repair has come as far as it does, or the exporter has ended. What is there stays.
    pub(crate) async fn disk_full_from_entry(&self, edge: usize, ends: bool) -> RotationReport {
        let (mut rotator, lock) = self.world.rotator().await;
        rotator.renew(&self.order(1), Ok(())).unwrap();
        let (journal, aside) = (self.journal(), self.root().join("aside"));
        let block = || {
            fs::rename(&journal, &aside).unwrap();
            fs::create_dir(&journal).unwrap();
        };
        let mut seen = 0;
        if edge == 0 {
            block();
        }
        rotator
            .advance(|_| {
                seen += 1;
                if seen == edge {
                    block();
                }
            })
            .await;
        fs::remove_dir(&journal).unwrap();
        fs::rename(&aside, &journal).unwrap();
        if ends {
            drop((rotator, lock));
            return self.found_again().await;
        }
        while let Some(due) =
            rotator.next_chore().filter(|_| !rotator.report().is_some_and(|report| report.state.is_decided()))
        {
            tokio::time::sleep_until(due).await;
            rotator.do_chores(|_| {}).await;
        }
        rotator.report().unwrap()
    }

    /// A file in the place of a directory of the exporter's fails every write below it, as a full disk does.
    pub(crate) fn block_state(&self, name: &str) -> PathBuf {
        let blocked = self.world.state().join(name);
        fs::create_dir_all(self.world.state()).unwrap();
        fs::set_permissions(self.world.state(), Permissions::from_mode(0o700)).unwrap();
        fs::write(&blocked, "").unwrap();
        blocked
    }

    /// What must hold of every end; a line that tells it.
    pub(crate) fn judged(&self, report: &RotationReport, fault: &str) -> String {
        let told = format!("{:?}: {fault}: {report:#?}", self.product);
        assert!(report.state.is_decided(), "{told}");
        let reason = report.failure.as_ref().map_or("", |failure| failure.reason.as_str());
        assert!(reason.is_empty() == (report.state == RotationState::Committed), "{told}");
        assert!(reason.is_empty() || is_explained(reason), "{reason} is not explained: {told}");
        let message = report.failure.as_ref().map_or("", |failure| failure.message.as_str());
        assert!(!format!("{report:?}").contains("of the backup"), "{told}");

        let script = self.world.home().join("default.sh");
        if fs::read(&script).is_ok_and(|bytes| bytes == OURS.as_bytes()) {
            assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o7777, OURS_MODE, "{told}");
        } else {
            let is_told = report.state == RotationState::Frozen && message.contains("its copy is ");
            assert!(is_told, "the script is lost: {told}");
            assert_eq!(fs::read_to_string(self.copies().join("0-default.sh")).unwrap(), OURS, "{told}");
        }

        let stored = fs::read(self.certificate()).unwrap_or_default();
        let is_whole = stored == self.old || stored == self.next;
        assert!(is_whole || report.state == RotationState::Frozen, "the certificate is neither old nor new: {told}");
        assert!(report.state != RotationState::Committed || stored == self.next, "{told}");
        if !is_whole && !fault.contains("lost meanwhile") {
            assert!(self.old_is_kept(), "the old certificate is nowhere: {told}");
        }
        for archive in self.archives() {
            let is_damaged = fault.contains("meanwhile");
            assert!(fs::read(&archive).unwrap() == ARCHIVE || is_damaged, "{} is a part: {told}", archive.display());
        }
        assert!(self.ran("-c") <= 1 && self.ran("-b") <= 1 && self.ran("-r") <= 1, "a program was run twice: {told}");
        let state = format!("{:?}", report.state);
        let end = match (stored == self.old, is_whole) {
            (true, _) => "old",
            (false, true) => "new",
            (false, false) => "neither",
        };
        format!("{:?}: {fault}: {state} {reason} ({end})", self.product)
    }

    /// A person puts right what is said to be wrong, and the next attempt ends well.
    pub(crate) async fn is_taken_again(&self, report: &RotationReport) {
        for entry in fs::read_dir(self.root()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("at-") {
                fs::remove_file(path).unwrap();
            }
        }
        for (path, bytes) in
            [(self.certificate(), &self.old), (self.world.home().join("default.sh"), &OURS.as_bytes().to_vec())]
        {
            if path.is_dir() {
                fs::remove_dir(&path).unwrap();
            }
            fs::write(path, bytes).unwrap();
        }
        let (mut rotator, _lock) = self.world.rotator().await;
        let found = rotator.report().unwrap();
        assert_ne!(found.state, RotationState::Frozen, "{report:#?}\n{found:#?}");
        rotator.renew(&self.order(2), Ok(())).unwrap();
        rotator.advance(|_| {}).await;
        let again = rotator.report().unwrap();
        assert_eq!(again.state, RotationState::Committed, "{report:#?}\n{again:#?}");
    }

    fn order(&self, generation: u64) -> RenewalOrder {
        let order = renewal(1, generation);
        RenewalOrder { target: Target { agent: self.name.parse().unwrap(), ..order.target }, ..order }
    }

    fn old_is_kept(&self) -> bool {
        match self.product {
            Product::BusinessEdition => {
                let copies = fs::read_dir(self.copies()).into_iter().flatten().map(|entry| entry.unwrap().path());
                copies.into_iter().any(|copy| fs::read(copy).unwrap() == self.old)
            }
            // The product's own program restores it from its backup.
            Product::AntiVirus => !self.archives().is_empty(),
        }
    }

    fn root(&self) -> &Path {
        self.world.directory.path()
    }

    fn certificate(&self) -> PathBuf {
        self.world.home().join(self.product.certificate())
    }

    fn journal(&self) -> PathBuf {
        self.world.state().join(format!("journal/{}.json", self.name))
    }

    fn copies(&self) -> PathBuf {
        self.world.state().join(format!("backups/{}/1", self.name))
    }

    fn archives(&self) -> Vec<PathBuf> {
        let archives = fs::read_dir(self.world.state().join("product-backups").join(&self.name)).into_iter().flatten();
        archives.map(|entry| entry.unwrap().path()).collect()
    }

    fn waiting(&self) -> String {
        fs::read_to_string(self.root().join("waits")).unwrap().trim().to_owned()
    }

    /// How often the program was run so.
    fn ran(&self, option: &str) -> usize {
        fs::read(self.root().join(format!("ran{option}"))).map_or(0, |marks| marks.len())
    }
}

/// In the table of reasons, or as one of a file's.
fn is_explained(reason: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../docs/rotation.md")).unwrap();
    let (_, table) = text.split_once("| reason | what happened |").unwrap();
    let first_cells = table.lines().filter_map(|row| row.strip_prefix("| ")?.split(" | ").next());
    let in_table = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).any(|it| it == reason);
    // The table leaves these to the message, and the exporter's page says what to do.
    let advice = fs::read_to_string(root.join("src/overview/fix.rs")).unwrap();
    let (_, of_file) = advice.split_once("fn of_source(").unwrap();
    let (of_file, _) = of_file.split_once("fn of_endpoint(").unwrap();
    in_table || of_file.contains(&format!("\"{reason}\""))
}

/// Looks again and again; far beyond what it takes on a busy machine.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}: not seen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
