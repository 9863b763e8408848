//! A real upsd with real drivers, whose device is a file of variables.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::pki::Identity;
use crate::ports::{Port, on_ports};
use crate::process::{self, Program};
use crate::{tools, wait};

/// Drivers and upsd find each other within two polls of two seconds.
const DEADLINE: Duration = Duration::from_secs(60);
const STORE_PASSWORD: &str = "store-password";

/// upsd and one driver for each UPS.
#[derive(Debug)]
pub struct Nut {
    directory: PathBuf,
    port: Port,
    upsd: Program,
    drivers: Vec<(String, Program)>,
}

/// A UPS: its name, what upsd's configuration says of it, and its variables, one `name: text` in each line.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub variables: &'a str,
}

impl Nut {
    /// Starts all of it and waits until upsd tells every UPS's variables. With `tls` upsd offers STARTTLS.
    pub fn start(directory: &Path, devices: &[Device<'_>], tls: Option<&Identity>) -> Result<Self> {
        on_ports(|[port]| Self::start_on(directory, devices, tls, port))
    }

    fn start_on(directory: &Path, devices: &[Device<'_>], tls: Option<&Identity>, port: Port) -> Result<Self> {
        for device in devices {
            fs::write(device_file(directory, device.name), device.variables)?;
        }
        let section = |Device { name, description, .. }: &Device<'_>| {
            let driver = "driver = dummy-ups\nmode = dummy-once\npollinterval = 1";
            format!("[{name}]\n{driver}\nport = {name}.dev\ndesc = \"{description}\"\n")
        };
        fs::write(directory.join("ups.conf"), devices.iter().map(section).collect::<String>())?;
        fs::write(directory.join("upsd.users"), "")?;
        let listen = format!("LISTEN 127.0.0.1 {}\nMAXAGE 5\n", port.number());
        let config = match tls {
            None => listen,
            Some(identity) => {
                let store = key_store(directory, identity)?;
                format!("{listen}CERTPATH {}\nCERTIDENT upsd {STORE_PASSWORD}\n", store.display())
            }
        };
        fs::write(directory.join("upsd.conf"), config)?;
        let driver = |device: &Device<'_>| {
            let mut command = program(directory, "lib/nut/dummy-ups")?;
            command.args(["-a", device.name]);
            Ok((device.name.to_owned(), Program::start(&format!("driver-{}", device.name), &command, directory)?))
        };
        let drivers = devices.iter().map(driver).collect::<Result<_>>()?;
        let upsd = Program::start("upsd", &program(directory, "lib/nut/upsd")?, directory)?;
        let mut nut = Self { directory: directory.to_owned(), port, upsd, drivers };
        let address = nut.address();
        let all_tell = || devices.iter().all(|device| tells(address, device.name));
        nut.upsd.wait_ready_on(nut.port.number(), DEADLINE, all_tell)?;
        Ok(nut)
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Changes what a UPS says; its driver looks every second, and compares the seconds of the file's time: of two changes in one
    /// second it would miss the second.
    pub fn set(&self, name: &str, variables: &str) -> Result<()> {
        let file = device_file(&self.directory, name);
        let beside = file.with_extension("new");
        fs::write(&beside, variables)?;
        let later = fs::metadata(&file)?.modified()? + Duration::from_secs(1);
        fs::File::options().write(true).open(&beside)?.set_modified(later.max(SystemTime::now()))?;
        Ok(fs::rename(beside, file)?)
    }

    /// Ends a UPS's driver as a crash would.
    pub fn kill_driver(&mut self, name: &str) -> Result<()> {
        let (_, driver) = self.drivers.iter_mut().find(|(of, _)| of == name).context("no such UPS")?;
        driver.kill()?;
        let address = self.port.address();
        wait::until(DEADLINE, || !tells(address, name)).context("upsd still tells of the UPS whose driver is gone")
    }
}

fn program(directory: &Path, name: &str) -> Result<Command> {
    let mut command = tools::nut(name)?;
    // In the foreground, as the user that it was started by.
    command.args(["-u", "root", "-F", "-D"]).current_dir(directory);
    command.env("NUT_CONFPATH", directory).env("NUT_STATEPATH", directory).env("NUT_ALTPIDPATH", directory);
    Ok(command)
}

fn device_file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.dev"))
}

fn tells(address: SocketAddr, name: &str) -> bool {
    let answer = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.write_all(format!("LIST VAR {name}\nLOGOUT\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    // Before the driver has told everything upsd shows a status of its own.
    answer().is_ok_and(|answer| answer.contains(&format!("END LIST VAR {name}")) && !answer.contains("\"WAIT\""))
}

/// Debian's upsd takes its key from an NSS database.
fn key_store(directory: &Path, identity: &Identity) -> Result<PathBuf> {
    let store = directory.join("nss");
    if store.exists() {
        return Ok(store);
    }
    fs::create_dir(&store)?;
    let (certificate, key) = identity.write(directory, "upsd")?;
    let (bundle, password) = (directory.join("upsd.p12"), directory.join("store-password"));
    fs::write(&password, STORE_PASSWORD)?;
    let pass = format!("pass:{STORE_PASSWORD}");
    let mut openssl = Command::new(tools::openssl()?);
    openssl.args(["pkcs12", "-export", "-name", "upsd", "-passout", &pass]);
    process::run(openssl.arg("-inkey").arg(key).arg("-in").arg(certificate).arg("-out").arg(&bundle))?;
    let database = format!("sql:{}", store.display());
    process::run(tools::nut("usr/bin/certutil")?.args(["-N", "-d", &database, "-f"]).arg(&password))?;
    let mut import = tools::nut("usr/bin/pk12util")?;
    import.args(["-d", &database, "-W", STORE_PASSWORD, "-k"]).arg(&password).arg("-i").arg(&bundle);
    process::run(&mut import)?;
    Ok(store)
}
