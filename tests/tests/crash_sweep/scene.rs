//! A host with one agent, laid out anew for every point of a sweep, and what must hold of it at any moment and in the end.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, ensure};
use kagiban_tests::jks;
use kagiban_tests::keystore::{self, StoreType};
use kagiban_tests::pki::Authority;
use kagiban_tests::ports::Port;
use kagiban_tests::powerchute::{ALIAS, EXTRA_ALIAS};
use kagiban_tests::strace::{self, Injection, Run};
use kagiban_tests::{handshake, scratch};
use serde_json::{Value, json};

use crate::service::{PasswordSource, Service, certified_key};

const HOST: &str = "ups-01.example.com";
const OLD_PASSWORD: &str = "old-password";
const NEW_PASSWORD: &str = "new-password";
const STORE_MODE: u32 = 0o640;
/// A service's own account, where the test may give files away.
const OWNER: u32 = 1234;

/// What a rotation replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `tls-service`: a store, its password unchanged.
    Store,
    /// `powerchute-serial-shutdown`: a store and the INI file with its password, both new.
    StoreAndIni,
    /// As `Store`, of a service whose stop returns at once, and which serves on for a while.
    Draining,
}

#[derive(Debug)]
pub(crate) struct Scene {
    layout: Layout,
    root: PathBuf,
    port: Arc<Port>,
    service: Service,
    old_leaf: String,
    owner: (u32, u32),
}

/// What is laid out anew for every point.
pub(crate) trait Rooted {
    fn root(&self) -> &Path;
}

impl Rooted for Scene {
    fn root(&self) -> &Path {
        &self.root
    }
}

/// The store that stands there before, and who signs what comes after: made once, by Java and by us.
struct Fixture {
    store: Vec<u8>,
    authority: Authority,
}

impl Scene {
    pub(crate) fn set(layout: Layout) -> Result<Self> {
        let fixture = fixture()?;
        let root = scratch::directory("sweep")?;
        let (home, control) = (root.join("agent"), root.join("control"));
        fs::create_dir(&home)?;
        fixture.authority.identity.write(&root, "ca")?;

        let (store, password_file, ini) = (home.join("keystore"), home.join("password"), home.join("pcssconfig.ini"));
        write(&store, &fixture.store)?;
        let (password, source) = match layout {
            Layout::Store | Layout::Draining => (OLD_PASSWORD, PasswordSource::Line(password_file.clone())),
            Layout::StoreAndIni => {
                write(&ini, ini_text(OLD_PASSWORD).as_bytes())?;
                (NEW_PASSWORD, PasswordSource::Ini(ini))
            }
        };
        write(&password_file, format!("{password}\n").as_bytes())?;
        let old_leaf = leaf_in(&fixture.store, OLD_PASSWORD)?;
        let metadata = fs::metadata(&store)?;
        let port = Arc::new(Port::any()?);
        let service = Service::start(control.clone(), Arc::clone(&port), store.clone(), source)?;

        let product = match layout {
            Layout::Store | Layout::Draining => {
                json!({"product": "tls-service", "keystore": {"path": store, "alias": ALIAS}})
            }
            Layout::StoreAndIni => json!({"product": "powerchute-serial-shutdown", "directory": home}),
        };
        let (stop, stop_timeout) = match layout {
            Layout::Store | Layout::StoreAndIni => (Service::stop_argv(&control), "10s"),
            Layout::Draining => (Service::drain_argv(&control), "1s"),
        };
        let mut agent = json!({
            "name": "agent",
            "passwordFile": password_file,
            "endpoint": {"address": port.address().to_string(), "serverName": HOST},
            "service": {
                "stop": stop,
                "start": Service::start_argv(&control),
                "stopTimeout": stop_timeout,
                // A start that a crash has cut off is waited for this long.
                "startTimeout": "10s",
                "minRestartInterval": "0s",
            },
            "verify": {"deadline": "5s", "holdDown": "0s", "interval": "10ms"},
        });
        merge(&mut agent, product);
        let config = json!({
            "host": HOST,
            "stateDirectory": root.join("state"),
            "power": {"assume": "mains", "scheduledShutdownFile": root.join("shutdown-scheduled")},
            "agents": [agent],
        });
        fs::write(root.join("exporter.yaml"), serde_yaml::to_string(&config)?)?;
        Ok(Self { layout, root, port, service, old_leaf, owner: (metadata.uid(), metadata.gid()) })
    }

    /// One rotation under `strace`.
    pub(crate) fn rotate(&self, injection: Option<&Injection>) -> Result<Run> {
        let mut command = rotate_once(&self.root);
        command.arg("rotate").arg(self.root.join("ca.crt")).arg(self.root.join("ca.key"));
        strace::run(&command, &self.root.join("rotate.trace"), injection)
    }

    /// A host whose rotation is committed.
    pub(crate) fn set_and_rotated(layout: Layout) -> Result<Self> {
        let scene = Self::set(layout)?;
        let mut command = rotate_once(&scene.root);
        command.arg("rotate").arg(scene.root.join("ca.crt")).arg(scene.root.join("ca.key"));
        let ended: Value = serde_json::from_str(&kagiban_tests::process::run(&mut command)?)?;
        ensure!(ended["report"]["state"] == "Committed", "{ended:#}");
        scene.service.count_anew()?;
        Ok(scene)
    }

    /// The rollback of a committed rotation under `strace`, by order.
    pub(crate) fn undo(&self, injection: Option<&Injection>) -> Result<Run> {
        let mut command = rotate_once(&self.root);
        command.arg("undo");
        strace::run(&command, &self.root.join("undo.trace"), injection)
    }

    /// One rotation under `strace` where names cannot be exchanged.
    pub(crate) fn rotate_without_exchange(&self, injection: Option<&Injection>) -> Result<Run> {
        let mut command = rotate_once(&self.root);
        command.arg("rotate").arg(self.root.join("ca.crt")).arg(self.root.join("ca.key"));
        strace::run_without(&["renameat2"], &command, &self.root.join("rotate.trace"), injection)
    }

    /// One recovery under `strace`.
    pub(crate) fn recover_traced(&self, injection: Option<&Injection>) -> Result<Run> {
        let mut command = rotate_once(&self.root);
        command.arg("recover");
        strace::run(&command, &self.root.join("recover.trace"), injection)
    }

    /// One recovery; what the rotation came to, or null when none was opened.
    pub(crate) fn recover(&self) -> Result<Value> {
        recover(&self.root)
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// Whether store and password file are one old and one new.
    pub(crate) fn is_apart(&self) -> Result<bool> {
        let store_is_old = leaf_in(&fs::read(self.store())?, OLD_PASSWORD).is_ok_and(|leaf| leaf == self.old_leaf);
        Ok((fs::read_to_string(self.ini())? == ini_text(OLD_PASSWORD)) != store_is_old)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("state/journal/agent.json")
    }

    /// What holds at every moment, also between a crash and the recovery from it.
    pub(crate) fn is_sound(&self) -> Result<()> {
        let journal: Value = fs::read(self.journal())
            .map_or(Ok(Value::Null), |text| serde_json::from_slice(&text))
            .context("journal")?;
        let rotation = &journal["rotation"];
        let bytes = fs::read(self.store())?;
        let is_old = leaf_in(&bytes, OLD_PASSWORD).is_ok_and(|leaf| leaf == self.old_leaf);
        if !is_old {
            let leaf = leaf_in(&bytes, self.new_password()).context("the store is neither old nor new")?;
            ensure!(rotation["leaf"]["sha256"] == leaf.as_str(), "{leaf} is stored: {journal:#}");
        }
        if self.layout == Layout::StoreAndIni {
            let text = fs::read_to_string(self.ini())?;
            let ini_is_old = text == ini_text(OLD_PASSWORD);
            ensure!(ini_is_old || text == ini_text(NEW_PASSWORD), "the INI file is neither old nor new:\n{text}");
            let phase = rotation["state"]["phase"].as_str().unwrap_or_default();
            // Two renames cannot be one: the journal says when they may be apart, and the service is stopped then.
            let apart = ini_is_old != is_old;
            ensure!(!apart || matches!(phase, "swapping" | "undoing"), "store and password are apart in {phase}");
        }
        self.is_private()
    }

    /// What holds when all is over.
    pub(crate) fn is_settled(&self, report: &Value) -> Result<()> {
        self.is_sound()?;
        let state = report["state"].as_str();
        ensure!(matches!(state, None | Some("Committed" | "RolledBack")), "not decided: {report:#}");
        let committed = state == Some("Committed");
        let expected = if committed { report["leaf"]["sha256"].as_str().context("leaf")? } else { &self.old_leaf };
        let password = if committed { self.new_password() } else { OLD_PASSWORD };
        ensure!(leaf_in(&fs::read(self.store())?, password)? == expected, "the store holds another leaf");
        if self.layout == Layout::StoreAndIni {
            ensure!(fs::read_to_string(self.ini())? == ini_text(password), "store and password are apart");
        }
        let served = handshake::served(self.port.address(), HOST)?.leaf_sha256();
        ensure!(served == expected, "{served} is served, {expected} is stored");
        ensure!(self.service.starts() <= self.most_starts(), "{} starts", self.service.starts());
        for path in files_below(&self.root)? {
            ensure!(!path.to_string_lossy().contains(".kagiban-"), "{} was left behind", path.display());
        }
        if committed {
            let backup = fs::read(self.root.join("state/backups/agent/1/0-keystore")).context("the backup")?;
            ensure!(leaf_in(&backup, OLD_PASSWORD)? == self.old_leaf, "the backup is not the old store");
        }
        // Another start of the exporter finds nothing to do.
        let starts = self.service.starts();
        ensure!(self.recover()? == *report, "the next start decided otherwise");
        ensure!(self.service.starts() == starts, "the next start restarted the service");
        Ok(())
    }

    /// The old store and its password file are in place, and the service lives on them.
    pub(crate) fn is_as_before(&self) -> Result<()> {
        ensure!(leaf_in(&fs::read(self.store())?, OLD_PASSWORD)? == self.old_leaf, "the store holds another leaf");
        if self.layout == Layout::StoreAndIni {
            ensure!(fs::read_to_string(self.ini())? == ini_text(OLD_PASSWORD), "store and password are apart");
        }
        let served = handshake::served(self.port.address(), HOST)?.leaf_sha256();
        ensure!(served == self.old_leaf, "{served} is served, {} is stored", self.old_leaf);
        Ok(())
    }

    /// Owner and mode as they were, and no file that others could read.
    fn is_private(&self) -> Result<()> {
        for path in files_below(&self.root.join("agent"))? {
            let metadata = fs::metadata(&path)?;
            ensure!(metadata.mode() & 0o007 == 0, "{}: mode {:o}", path.display(), metadata.mode());
        }
        let store = fs::metadata(self.store())?;
        ensure!(store.mode() & 0o7777 == STORE_MODE, "the store's mode is now {:o}", store.mode());
        ensure!((store.uid(), store.gid()) == self.owner, "the store's owner is now {}:{}", store.uid(), store.gid());
        let state = self.root.join("state");
        for directory in ["", "journal", "backups"] {
            let mode = fs::metadata(state.join(directory)).map_or(0o700, |metadata| metadata.mode());
            ensure!(mode & 0o077 == 0, "state/{directory} is open to others: {mode:o}");
        }
        for path in files_below(&state)?.iter().filter(|path| !path.ends_with("lock")) {
            let mode = fs::metadata(path)?.mode();
            ensure!(mode & 0o077 == 0, "{}: mode {mode:o}", path.display());
        }
        Ok(())
    }

    fn store(&self) -> PathBuf {
        self.root.join("agent/keystore")
    }

    fn ini(&self) -> PathBuf {
        self.root.join("agent/pcssconfig.ini")
    }

    /// A start that finds a service which is still ending changes nothing, and is made again: on the way there and on the way
    /// back.
    fn most_starts(&self) -> usize {
        match self.layout {
            Layout::Store | Layout::StoreAndIni => 2,
            Layout::Draining => 4,
        }
    }

    fn new_password(&self) -> &'static str {
        match self.layout {
            Layout::Store | Layout::Draining => OLD_PASSWORD,
            Layout::StoreAndIni => NEW_PASSWORD,
        }
    }
}

/// `rotate_once` with the configuration in `root`.
pub(crate) fn rotate_once(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotate_once"));
    command.arg(root.join("exporter.yaml"));
    command
}

/// One recovery of the host laid out in `root`; what its rotation came to.
pub(crate) fn recover(root: &Path) -> Result<Value> {
    let printed = kagiban_tests::process::run(rotate_once(root).arg("recover"))?;
    Ok(serde_json::from_str::<Value>(&printed)?["report"].take())
}

/// The leaf of the one key that counts, once it is shown that the password opens it and that it belongs to its leaf.
fn leaf_in(store: &[u8], password: &str) -> Result<String> {
    let entries = jks::open(store, password)?;
    ensure!(entries.contains_key(EXTRA_ALIAS), "the entry that is not ours is gone");
    let key = certified_key(entries.get(ALIAS).context("the key is gone")?)?;
    Ok(handshake::sha256(key.cert.first().context("no chain")?))
}

fn ini_text(password: &str) -> String {
    format!("; kept by the agent\r\n[Other]\r\nlanguage = ja\r\n[Credentials]\r\nKS_Access_Data = {password}\r\n")
}

fn fixture() -> Result<&'static Fixture> {
    static FIXTURE: OnceLock<std::result::Result<Fixture, String>> = OnceLock::new();
    let made = FIXTURE.get_or_init(|| make_fixture().map_err(|error| format!("{error:#}")));
    made.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn make_fixture() -> Result<Fixture> {
    let authority = Authority::new("Sweep CA")?;
    let directory = scratch::directory("sweep-fixture")?;
    let store = directory.join("keystore");
    keystore::generate(&store, StoreType::Jks, OLD_PASSWORD, ALIAS, HOST)?;
    let (certificate, _) = authority.identity.write(&directory, EXTRA_ALIAS)?;
    keystore::trust(&store, OLD_PASSWORD, EXTRA_ALIAS, &certificate)?;
    Ok(Fixture { store: fs::read(store)?, authority })
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(STORE_MODE))?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(OWNER), Some(OWNER))?;
    }
    Ok(())
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

pub(crate) fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() { pending.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    Ok(files)
}
