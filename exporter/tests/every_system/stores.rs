//! Certificate stores of the machine, written by this program and read by the exporter's.

use schannel::cert_context::{CertContext, KeySpec};
use schannel::cert_store::{CertAdd, CertStore};
use schannel::crypt_prov::ProviderType;

use super::peers::tls_server;
use super::{Place, once, program, text};

/// A store that only these tests have.
const STORE: &str = "Kagiban SSL Agent";

fn certificate(name: &str) -> CertContext {
    let params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
    let key = rcgen::KeyPair::generate().expect("a key");
    CertContext::new(params.self_signed(&key).expect("a certificate").der()).expect("a certificate")
}

#[test]
fn stores_of_the_machine_are_told_beside_one_that_is_not_there() {
    let (keyed, bare) = (certificate("keyed.example.com"), certificate("bare.example.com"));
    keyed.set_friendly_name("console").expect("a name");
    let mut key = keyed.set_key_prov_info();
    key.container("kagiban").provider("Microsoft Strong Cryptographic Provider").type_(ProviderType::rsa_full());
    key.machine_keyset(true).key_spec(KeySpec::key_exchange()).set().expect("it can be noted");
    let mut store = CertStore::open_local_machine(STORE).expect("it can be made");
    for one in [&keyed, &bare] {
        store.add_cert(one, CertAdd::Always).expect("it can be added");
    }
    // Wine writes it down when it is closed.
    drop(store);
    let place = Place::new();
    let config = place.configure(&format!(
        "host: ups-01.example.com\ncertificates: [{{name: agents, windowsStores: ['{STORE}', Nowhere]}}]\n"
    ));
    let output = once(&config);
    let (metrics, log) = (text(&output.stdout), text(&output.stderr));
    let path = format!(r#"path="Cert:\\LocalMachine\\{STORE}""#);
    let count = |start: &str, rest: &[&str], end: &str| {
        let is_it =
            |line: &&str| line.starts_with(start) && rest.iter().all(|it| line.contains(it)) && line.ends_with(end);
        metrics.lines().filter(is_it).count()
    };
    let keyed = ["format=\"windows_store\"", &path, "alias=\"console\"", "role=\"leaf\""];
    assert_eq!(count("x509_cert_private_key{", &keyed, "} 1"), 1, "{metrics}{log}");
    assert_eq!(count("x509_cert_private_key{", &[&path], "} 0"), 1, "{metrics}{log}");
    assert_eq!(count("x509_cert_not_after_timestamp_seconds{", &[&path], ""), 2, "{metrics}{log}");
    assert_eq!(count("x509_file_certificates{", &[&path], "} 2"), 1, "{metrics}{log}");
    let nowhere = r#"path="Cert:\\LocalMachine\\Nowhere""#;
    assert_eq!(count("x509_file_error{", &[nowhere, "reason=\"not_found\""], "} 1"), 1, "{metrics}{log}");
    assert_eq!(count("x509_file_up{", &[nowhere], "} 0"), 1, "{metrics}{log}");
    assert!(log.contains("there is no such store"), "{log}");
    let checked =
        program().arg("--config.check").arg("--config.file").arg(&config).output().expect("the program was built");
    let said = text(&checked.stderr) + &text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    assert!(said.contains(r"certificates[0].windowsStores[1]: Cert:\LocalMachine\Nowhere: "), "{said}");
    assert!(!said.contains("windowsStores[0]"), "{said}");
}

/// Without a `caFile`, by what lies in the machine's store of authorities.
#[test]
fn an_endpoint_is_trusted_by_the_machines_own_authorities() {
    let (trusted, stranger) = (tls_server(), tls_server());
    let mut store = CertStore::open_local_machine("Root").expect("it is there");
    let certificate = CertContext::from_pem(&trusted.pem).expect("a certificate");
    store.add_cert(&certificate, CertAdd::Always).expect("it can be added");
    drop(store);
    let place = Place::new();
    let endpoint =
        |name: &str, address: &str| format!("{{name: {name}, address: '{address}', serverName: ups-01.example.com}}");
    let config = place.configure(&format!(
        "host: ups-01.example.com\ntlsEndpoints: [{}, {}]\n",
        endpoint("console", &trusted.address),
        endpoint("stranger", &stranger.address),
    ));
    let output = once(&config);
    let (metrics, log) = (text(&output.stdout), text(&output.stderr));
    let verified = |source: &str| {
        let line = metrics.lines().find(|line| line.starts_with("tls_probe_verified{") && line.contains(source));
        line.and_then(|line| line.rsplit(' ').next()).unwrap_or_else(|| panic!("{source}: {metrics}{log}"))
    };
    assert_eq!((verified("source=\"console\""), verified("source=\"stranger\"")), ("1", "0"), "{metrics}{log}");
}
