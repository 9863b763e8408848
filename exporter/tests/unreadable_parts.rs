//! Files that are not as they should be: what can be read is published, what cannot is said, by the built program.

mod scene;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use scene::{Authority, run};
use tempfile::TempDir;

struct Host {
    directory: TempDir,
    authority: Authority,
}

/// What one run said.
struct Said {
    metrics: String,
    log: String,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("certs")).expect("a directory");
        Self { directory, authority: Authority::new("Fleet CA") }
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.directory.path().join("certs").join(name), bytes).expect("it can be written");
    }

    fn pem(&self, subject: &str) -> String {
        self.authority.issue(subject, 2020..2040).pem
    }

    /// By a pattern, which passes over what is no certificate.
    fn once(&self) -> Said {
        self.once_of(&[self.directory.path().join("certs/*")])
    }

    /// Each file by its name.
    fn once_by_name(&self) -> Said {
        let files = fs::read_dir(self.directory.path().join("certs")).expect("a directory");
        self.once_of(&files.map(|file| file.expect("a file").path()).collect::<Vec<_>>())
    }

    fn once_of(&self, paths: &[PathBuf]) -> Said {
        let root = self.directory.path();
        let config = root.join("exporter.yaml");
        let certs = root.join("certs");
        let yaml = format!(
            "discovery: {{enabled: false}}\nshutdown: {{enabled: false}}\nstateDirectory: {}\ncompat: [enix]\n\
             certificates: [{{name: fleet, paths: {paths:?}}}]\n",
            root.join("state").display(),
        );
        fs::write(&config, yaml).expect("it can be written");
        let output = run(&["--once", "--config.file", config.to_str().expect("UTF-8")]);
        let prefix = format!("{}/", certs.display());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").replace(&prefix, "");
        Said { metrics: text(output.stdout), log: text(output.stderr) }
    }
}

impl Said {
    fn value(&self, family: &str, words: &[&str]) -> Option<&str> {
        let line = self
            .metrics
            .lines()
            .find(|line| line.starts_with(&format!("{family}{{")) && words.iter().all(|word| line.contains(word)))?;
        line.rsplit_once(' ').map(|(_, value)| value)
    }

    /// Up, the reasons, and how many certificates.
    fn of_file(&self, file: &str) -> (Option<&str>, Vec<&str>, Option<&str>) {
        let path = format!("path=\"{file}\"");
        let errors = self.metrics.lines().filter(|line| line.starts_with("x509_file_error{") && line.contains(&path));
        let reason = |line| -> Option<&str> { str::split_once(line, "reason=\"")?.1.split('"').next() };
        (
            self.value("x509_file_up", &[&path]),
            errors.filter_map(reason).collect(),
            self.value("x509_file_certificates", &[&path]),
        )
    }
}

fn tool(directory: &Path, program: &str, arguments: &str) {
    let done = Command::new(program).args(arguments.split(' ')).current_dir(directory).output();
    let done = done.unwrap_or_else(|_| panic!("{program} is needed: install openssl and a JDK"));
    assert!(done.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Holds R7.
#[test]
fn one_bad_certificate_is_said_by_its_place_and_the_others_of_the_file_are_published() {
    let host = Host::new();
    let [first, second, third] = ["first", "second", "third"].map(|name| host.pem(name));
    host.put("bad-in-the-middle.pem", format!("{first}{}{third}", second.replacen("MII", "MIA", 1)));
    host.put("cut.pem", format!("{first}{}", &second[..second.len() / 2]));
    tool(
        host.directory.path(),
        "keytool",
        "-genkeypair -alias securekey -keyalg EC -dname CN=agent -storetype JKS -storepass secret1 -keystore certs/store",
    );
    let mut store = fs::read(host.directory.path().join("certs/store")).expect("keytool made it");
    // One more entry, a trusted certificate that is none, and no digest that fits.
    store[11] = 2;
    let entry = b"\0\0\0\x02\0\x03bad\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x05\x30\x03\x02\x01\x05";
    let end = store.len() - 20;
    store.splice(end..end, entry.iter().copied());
    host.put("store", &store);

    let said = host.once();
    for (file, certificates) in [("bad-in-the-middle.pem", "2"), ("cut.pem", "1"), ("store", "1")] {
        assert_eq!(said.of_file(file), (Some("0"), vec!["malformed"], Some(certificates)), "{file}:\n{}", said.metrics);
        assert_eq!(said.value("x509_cert_error", &[&format!("filepath=\"{file}\"")]), Some("1"));
    }
    for subject in ["first", "third", "agent"] {
        let found = said.value("x509_cert_not_after_timestamp_seconds", &[&format!("subject_cn=\"{subject}\"")]);
        assert!(found.is_some(), "{subject}:\n{}", said.metrics);
    }
    let line = first.lines().count() + 1;
    assert!(said.log.contains(&format!("the block CERTIFICATE at line {line}")), "{}", said.log);
    assert!(!said.log.contains("backup"), "the file is not lost: {}", said.log);
}

/// Holds R7: the same from the command line, whose exit code tells.
#[test]
fn a_listing_shows_what_can_be_read_and_names_what_cannot() {
    let host = Host::new();
    let (good, bad) = (host.pem("good"), host.pem("bad").replacen("MII", "MIA", 1));
    host.put("chain.pem", format!("{bad}{good}"));
    let file = host.directory.path().join("certs/chain.pem");
    let listed = |more: &[&str]| {
        let output = run(&[&["keystore", "list", file.to_str().expect("UTF-8")], more].concat());
        assert_eq!(output.status.code(), Some(1));
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (text(output.stdout), text(output.stderr))
    };
    let (text, error) = listed(&[]);
    assert!(text.contains("CN=good") && text.contains("Unreadable: the block CERTIFICATE at line 1: "), "{text}");
    assert!(error.contains("malformed") && error.lines().count() == 1, "{error}");
    let (json, _) = listed(&["-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["unreadable"][0]["place"], "the block CERTIFICATE at line 1");
    assert_eq!(
        (json["unreadable"][0]["reason"].as_str(), json["entries"].as_array().map(Vec::len)),
        (Some("malformed"), Some(1))
    );
}

/// Holds R8: openssl makes a store with a key alone, keytool one without entries.
#[test]
fn a_store_with_keys_or_nothing_says_so_the_same_way_in_every_format() {
    let host = Host::new();
    let root = host.directory.path();
    tool(root, "openssl", "ecparam -name prime256v1 -genkey -noout -out certs/key.pem");
    tool(
        root,
        "openssl",
        "pkcs12 -export -nocerts -inkey certs/key.pem -passout pass: -nomac -keypbe NONE -out certs/key.p12",
    );
    for (kind, file) in [("JKS", "empty.jks"), ("JCEKS", "empty.jceks")] {
        tool(
            root,
            "keytool",
            &format!(
                "-genkeypair -alias a -keyalg EC -dname CN=a -storetype {kind} -storepass secret1 -keystore certs/{file}"
            ),
        );
        tool(root, "keytool", &format!("-delete -alias a -storepass secret1 -storetype {kind} -keystore certs/{file}"));
    }
    host.put("empty.pem", "");
    let said = host.once_by_name();
    for file in ["key.pem", "key.p12", "empty.jks", "empty.jceks", "empty.pem"] {
        assert_eq!(said.of_file(file), (Some("0"), vec!["no_certificate"], None), "{file}:\n{}", said.log);
    }
    assert!(said.log.contains("files=5 reason=\"no_certificate\""), "{}", said.log);
}

/// Holds R9.
#[test]
fn an_expiry_that_is_never_is_published_to_the_second() {
    let host = Host::new();
    let config = "[req]\ndistinguished_name=d\n[d]\n[ca]\ndefault_ca=c\n[c]\ndatabase=i\nserial=s\ndefault_md=sha256\npolicy=p\nnew_certs_dir=.\n[p]\ncommonName=supplied\n";
    let root = host.directory.path();
    for (name, text) in [("config", config), ("i", ""), ("s", "4D\n")] {
        fs::write(root.join(name), text).expect("it can be written");
    }
    tool(root, "openssl", "ecparam -name prime256v1 -genkey -noout -out key");
    tool(root, "openssl", "req -new -key key -subj /CN=never -config config -out csr");
    tool(
        root,
        "openssl",
        "ca -batch -config config -selfsign -keyfile key -in csr -startdate 20240101000000Z -enddate 99991231235959Z -notext -out certs/never.pem",
    );
    let said = host.once();
    for family in ["x509_cert_not_after_timestamp_seconds", "x509_cert_not_after"] {
        assert_eq!(said.value(family, &["never"]), Some("253402300799"), "{}", said.metrics);
    }
    let listed = run(&["keystore", "list", root.join("certs/never.pem").to_str().expect("UTF-8"), "-o", "json"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("\"notAfter\":\"9999-12-31T23:59:59Z\""), "{listed:?}");
}

/// Holds R10: files of different faults are told apart, each reason with its count and its next step.
#[test]
fn the_log_names_each_reason_by_itself() {
    let host = Host::new();
    let root = host.directory.path();
    tool(root, "openssl", "ecparam -name prime256v1 -genkey -noout -out key");
    tool(root, "openssl", "req -new -key key -subj /CN=x -outform DER -out certs/request.der");
    tool(root, "openssl", "pkey -in key -pubout -outform DER -out certs/public.der");
    tool(
        root,
        "keytool",
        "-genkeypair -alias a -keyalg EC -dname CN=a -storetype PKCS12 -storepass secret1 -keystore certs/locked.p12",
    );
    host.put("store.bks", [&b"\0\0\0\x02\0\0\0\x14"[..], &[7; 300]].concat());
    host.put("cut.jks", b"\xFE\xED\xFE\xED\0\0");
    let said = host.once_by_name();
    for (reason, files, first) in [
        ("malformed", 1, "cut.jks"),
        ("no_certificate", 2, "public.der: the file holds a public key"),
        ("password_needed", 1, "locked.p12"),
        ("unsupported_format", 1, "store.bks: the file is a keystore of Bouncy Castle (BKS or UBER)"),
    ] {
        let told = |line: &&str| line.contains(&format!("files={files} reason=\"{reason}\"")) && line.contains(first);
        assert_eq!(said.log.lines().filter(told).count(), 1, "{reason}:\n{}", said.log);
    }
}
