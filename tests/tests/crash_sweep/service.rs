//! A TLS service that loads its JKS store when it starts, as the managed agents do, without the seconds of a JVM. Its stop
//! and start commands leave marks in a control directory; the service itself is a thread of the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kagiban_tests::jks::{self, Entry};
use kagiban_tests::ports::Port;
use kagiban_tests::powerchute::ALIAS;
use kagiban_tests::{handshake, wait};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

/// How soon a mark is seen.
const TICK: Duration = Duration::from_millis(3);
/// Beside other suites a disk that is busy takes many seconds.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Far longer than the swap of a store takes, and shorter than the stop timeout of the scene.
const DRAIN_SECONDS: &str = "0.4";

/// Where the service finds its password.
#[derive(Clone, Debug)]
pub(crate) enum PasswordSource {
    /// The first line of a file.
    Line(PathBuf),
    /// `KS_Access_Data` of an INI file.
    Ini(PathBuf),
}

#[derive(Debug)]
pub(crate) struct Service {
    control: PathBuf,
    over: Arc<AtomicBool>,
}

impl PasswordSource {
    pub(crate) fn read(&self) -> Result<String> {
        match self {
            Self::Line(path) => Ok(fs::read_to_string(path)?.lines().next().unwrap_or_default().to_owned()),
            Self::Ini(path) => {
                let text = fs::read_to_string(path)?;
                let value = text.lines().find_map(|line| line.strip_prefix("KS_Access_Data = "));
                Ok(value.context("no KS_Access_Data")?.trim().to_owned())
            }
        }
    }
}

impl Service {
    /// Starts it, and waits until it serves. The port is nobody else's before its thread has ended.
    pub(crate) fn start(control: PathBuf, port: Arc<Port>, store: PathBuf, password: PasswordSource) -> Result<Self> {
        fs::create_dir(&control)?;
        fs::write(control.join("run"), "")?;
        let over = Arc::new(AtomicBool::new(false));
        let service = Self { control: control.clone(), over: Arc::clone(&over) };
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if control.join("run").exists() {
                    let mark = match load(&store, &password) {
                        Ok(config) => serve(&Arc::new(config), &control, &port, &over),
                        Err(error) => Err(error),
                    };
                    if let Err(error) = mark {
                        let _ = fs::remove_file(control.join("run"));
                        let _ = fs::write(control.join("failed"), format!("{error:#}"));
                    }
                }
                thread::sleep(TICK);
            }
        });
        let failed = || fs::read_to_string(service.control.join("failed")).ok();
        let up = || service.control.join("up").exists();
        wait::until(START_DEADLINE, || up() || failed().is_some())?;
        match failed().filter(|_| !up()) {
            Some(why) => bail!("the service did not start: {why}"),
            None => Ok(service),
        }
    }

    pub(crate) fn stop_argv(control: &Path) -> [String; 4] {
        argv("rm -f \"$0/run\"; while [ -e \"$0/up\" ]; do there || exit 1; sleep 0.01; done", control)
    }

    /// A stop that has returned while the service serves on: it ends in [`DRAIN_SECONDS`]. A start before that finds it
    /// running, and does nothing. Its end has a mark of its own: a start in the moment before the service looks would undo it else.
    pub(crate) fn drain_argv(control: &Path) -> [String; 4] {
        let script = format!(
            "echo >>\"$0/stops\"; (sleep {DRAIN_SECONDS}; : >\"$0/ends\"; rm -f \"$0/run\") </dev/null >/dev/null 2>&1 &"
        );
        argv(&script, control)
    }

    pub(crate) fn start_argv(control: &Path) -> [String; 4] {
        argv(
            "while [ -e \"$0/waits-for-ready\" ]; do there || exit 1; sleep 0.01; done; \
             echo >>\"$0/starts\"; rm -f \"$0/failed\"; : >\"$0/run\"; \
             while [ ! -e \"$0/up\" ]; do [ -e \"$0/failed\" ] && exit 1; there || exit 1; sleep 0.01; done",
            control,
        )
    }

    /// From now on its start waits for [`Service::ready`].
    pub(crate) fn order_after_ready(&self) -> Result<()> {
        Ok(fs::write(self.control.join("waits-for-ready"), "")?)
    }

    pub(crate) fn ready(&self) -> Result<()> {
        Ok(fs::remove_file(self.control.join("waits-for-ready"))?)
    }

    /// The service manager starts it by itself, as at a boot; that is no start of ours.
    pub(crate) fn start_by_manager(&self) -> Result<()> {
        Ok(fs::write(self.control.join("run"), "")?)
    }

    /// How often it was started since.
    pub(crate) fn starts(&self) -> usize {
        self.marks("starts")
    }

    /// How often its draining stop was begun since.
    pub(crate) fn stops(&self) -> usize {
        self.marks("stops")
    }

    /// Starts and stops are counted anew.
    pub(crate) fn count_anew(&self) -> Result<()> {
        ["starts", "stops"].iter().try_for_each(|marks| Ok(fs::write(self.control.join(marks), "")?))
    }

    fn marks(&self, name: &str) -> usize {
        fs::read(self.control.join(name)).map_or(0, |marks| marks.len())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::write(self.control.join("over"), "");
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The key of a store and its chain, shown to belong together.
pub(crate) fn certified_key(entry: &Entry) -> Result<CertifiedKey> {
    let Entry::Key { pkcs8, chain } = entry else { bail!("no key under {ALIAS}") };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8.clone()));
    let chain = chain.iter().map(|der| der.clone().into()).collect();
    Ok(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?)
}

/// A command whose host was killed lives on, and waits: until the service is over, or the test is gone.
fn argv(script: &str, control: &Path) -> [String; 4] {
    let script = format!("there() {{ [ ! -e \"$0/over\" ] && [ -e /proc/{} ]; }}; {script}", std::process::id());
    ["sh", "-c", &script, &control.to_string_lossy()].map(str::to_owned)
}

fn load(store: &Path, password: &PasswordSource) -> Result<ServerConfig> {
    let entries = jks::open(&fs::read(store)?, &password.read()?)?;
    let key = certified_key(entries.get(ALIAS).context("no entry under the alias")?)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
    Ok(builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key))))
}

fn serve(config: &Arc<ServerConfig>, control: &Path, port: &Port, over: &AtomicBool) -> Result<()> {
    let listener = port.listen()?;
    listener.set_nonblocking(true)?;
    let ends = control.join("ends");
    let _ = fs::remove_file(&ends);
    fs::write(control.join("up"), "")?;
    while control.join("run").exists() && !ends.exists() && !over.load(Ordering::Relaxed) {
        match listener.accept() {
            // A client that breaks off is its own affair.
            Ok((client, _)) => drop(handshake::answer(client, config)),
            Err(_) => thread::sleep(TICK),
        }
    }
    drop(listener);
    Ok(fs::remove_file(control.join("up"))?)
}
