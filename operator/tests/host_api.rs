//! The host API's client against a host that is honest, and hosts that are not.

mod support;

use kagiban_crds::HostName;
use kagiban_crds::host_api::RefusalReason;
use kagiban_operator::agent_api::{AgentError, ClientIdentity, HostApi, Reach};
use rcgen::ExtendedKeyUsagePurpose;
use support::host::{Host, Manner};
use support::lock;
use support::pki::{Authority, Pair};

async fn host() -> (Authority, Host) {
    let authority = Authority::new("mutual");
    let host = Host::start(&authority, authority.server()).await;
    (authority, host)
}

fn api(host: &Host, client: &Pair, trust: &Authority) -> HostApi {
    let identity =
        ClientIdentity::from_pem(client.certificate.as_bytes(), client.key.as_bytes(), trust.pem().as_bytes())
            .expect("an identity");
    let agent = "powerchute".parse().expect("a name");
    HostApi::new(&format!("https://{}", host.address), &name(), agent, identity, reach("127.0.0.1"))
        .expect("an address")
}

fn name() -> HostName {
    "ups-01.example.com".parse().expect("a name")
}

fn reach(allowed: &str) -> Reach {
    Reach::new(kagiban_operator::host_pattern::list(allowed).expect("patterns"), Vec::new())
}

#[tokio::test]
async fn an_honest_host_is_read() {
    let (authority, host) = host().await;
    let report = api(&host, &authority.client(), &authority).look().await.expect("a report");
    assert_eq!(report.name.as_str(), "powerchute");
    assert_eq!(lock(&host.state).asked, ["GET /v1/agents/powerchute"]);
}

#[tokio::test]
async fn a_hostile_answer_is_classed_and_bounded() {
    let (authority, host) = host().await;
    let api = api(&host, &authority.client(), &authority);
    for (manner, reason) in
        [(Manner::Garbage, "malformed"), (Manner::Huge, "too_large"), (Manner::Redirect, "malformed")]
    {
        lock(&host.state).manner = manner;
        assert_eq!(api.look().await.map_err(|e| e.reason()).err(), Some(reason), "{manner:?}");
    }
}

/// Holds B4: interim answers were read for as long as they came, 2.7 GB of them in two looks, until the time for a look was over.
#[tokio::test]
async fn a_host_that_gives_interim_answers_without_end_is_given_up_soon() {
    let (authority, host) = host().await;
    lock(&host.state).manner = Manner::Hints;
    let error = api(&host, &authority.client(), &authority).look().await.expect_err("no answer");
    assert_eq!(error, AgentError::TooLarge);
}

/// Holds B4: what TLS adds to an answer was not counted, and a padded record has 16 KiB for each byte: 2.4 GB were read for one report.
#[tokio::test]
async fn an_answer_that_is_scattered_over_records_of_tls_is_counted_as_it_is_sent() {
    let (authority, host) = host().await;
    lock(&host.state).manner = Manner::Scattered;
    let error = api(&host, &authority.client(), &authority).look().await.expect_err("no answer");
    assert_eq!(error, AgentError::TooLarge);
}

/// Holds B17: a host that closes the connection after a whole answer was said to have closed it, and not what it had answered.
#[tokio::test]
async fn what_an_answer_is_counts_more_than_that_the_connection_was_closed_after_it() {
    let (authority, host) = host().await;
    lock(&host.state).manner = Manner::Garbage;
    let error = api(&host, &authority.client(), &authority).look().await.expect_err("no report");
    assert_eq!(error, AgentError::Malformed("its JSON is not a report"));
}

#[tokio::test]
async fn an_error_that_says_nothing_is_told_with_its_status() {
    let (authority, host) = host().await;
    for (code, words) in [(401, "HTTP 401 Unauthorized"), (502, "HTTP 502 Bad Gateway"), (302, "HTTP 302 Found")] {
        lock(&host.state).manner = Manner::Bare(code);
        let error = api(&host, &authority.client(), &authority).look().await.expect_err("no report");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.reason(), "malformed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_says_nothing_is_given_up() {
    let (authority, host) = host().await;
    lock(&host.state).manner = Manner::Silent;
    // The clock of this test runs ahead, and either deadline may end the call
    let reason = api(&host, &authority.client(), &authority).look().await.map_err(|error| error.reason());
    assert!(matches!(reason, Err("timeout" | "connect")), "{reason:?}");
}

/// Holds B4: a host that accepts and says nothing costs three seconds, and not the time that an answer may take.
#[tokio::test]
async fn a_host_that_accepts_and_says_nothing_is_given_up_soon() {
    let (authority, host) = host().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = Host { address: listener.local_addr().expect("an address"), state: host.state.clone() };
    let started = std::time::Instant::now();
    let error = api(&silent, &authority.client(), &authority).look().await.expect_err("nobody answers");
    assert_eq!(error, AgentError::Connect("no answer".into()));
    assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
}

/// Holds B4: the second agent on a silent host is told what the first one has found out.
#[tokio::test]
async fn agents_of_one_silent_host_share_its_silence() {
    let (authority, host) = host().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let gone = Host { address: listener.local_addr().expect("an address"), state: host.state.clone() };
    drop(listener);
    let endpoints = kagiban_operator::agent_api::Endpoints::default();
    let shared = |host: &Host| api(host, &authority.client(), &authority).sharing(endpoints.at("fleet", "https://a"));
    assert_eq!(shared(&gone).look().await.map_err(|error| error.reason()).err(), Some("connect"));
    let second = shared(&host).look().await.expect_err("not asked");
    assert_eq!(
        (second.reason(), second.to_string().as_str()),
        ("not_asked", "the host cannot be connected to: connection refused")
    );
    assert_eq!(lock(&host.state).asked, Vec::<String>::new());
}

#[tokio::test]
async fn a_host_that_is_not_trusted_gets_no_request() {
    let (authority, host) = host().await;
    let other = Authority::new("other");
    let error = api(&host, &authority.client(), &other).look().await.expect_err("not trusted");
    assert_eq!(error, AgentError::NotTheHost("the host's certificate does not chain to ca.crt".into()));

    let expired = Host::start(
        &authority,
        authority.pair(ExtendedKeyUsagePurpose::ServerAuth, |params| {
            params.subject_alt_names.push(rcgen::SanType::IpAddress([127, 0, 0, 1].into()));
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }),
    )
    .await;
    let error = api(&expired, &authority.client(), &authority).look().await.expect_err("expired");
    assert_eq!(error, AgentError::Tls("the host's certificate has expired".into()));

    let nameless = Host::start(&authority, authority.pair(ExtendedKeyUsagePurpose::ServerAuth, |_| {})).await;
    let error = api(&nameless, &authority.client(), &authority).look().await.expect_err("another name");
    assert_eq!(error, AgentError::NotTheHost("the host's certificate is for another name".into()));
    for host in [&host, &expired, &nameless] {
        assert_eq!(lock(&host.state).asked, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_host_that_refuses_our_certificate_says_so() {
    let (authority, host) = host().await;
    let stranger = Authority::new("stranger").client();
    let error = api(&host, &stranger, &authority).look().await.expect_err("not known there");
    assert_eq!(error.reason(), "tls", "{error}");
    assert!(error.to_string().contains("refused our certificate"), "{error}");
}

#[tokio::test]
async fn a_refusal_keeps_its_reason() {
    let (authority, host) = host().await;
    lock(&host.state).manner = Manner::Refuse(RefusalReason::StaleEpoch);
    let api = api(&host, &authority.client(), &authority);
    let order = kagiban_crds::host_api::RollbackOrder {
        target: kagiban_crds::host_api::Target {
            lineage: None,
            epoch: kagiban_crds::Epoch(1),
            generation: kagiban_crds::Generation(1),
            host: "ups-01.example.com".parse().expect("a name"),
            agent: "powerchute".parse().expect("a name"),
        },
    };
    let error = api.roll_back(&order).await.expect_err("refused");
    assert!(error.is_deposed());
    assert_eq!(error.reason(), "stale_epoch");
}

#[tokio::test]
async fn a_closed_port_is_a_connection_that_was_refused() {
    let (authority, host) = host().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let gone = Host { address, state: host.state.clone() };
    let error = api(&gone, &authority.client(), &authority).look().await.expect_err("nobody listens");
    assert_eq!(error, AgentError::Connect("connection refused".into()));
}

/// Holds B2: the address that is connected to is judged, and the host is known by its own name, not by the address.
#[tokio::test]
async fn a_host_is_not_contacted_where_no_host_should_be_and_must_have_its_own_name() {
    let (authority, host) = host().await;
    let client = authority.client();
    let identity =
        ClientIdentity::from_pem(client.certificate.as_bytes(), client.key.as_bytes(), authority.pem().as_bytes())
            .expect("an identity");
    let agent = || "powerchute".parse().expect("a name");
    for url in [format!("https://{}", host.address), format!("https://localhost:{}", host.address.port())] {
        let api = HostApi::new(&url, &name(), agent(), identity.clone(), Reach::default()).expect("an address");
        let error = api.look().await.expect_err("loopback is no host");
        assert!(matches!(error, AgentError::NotAllowed { .. }), "{url}: {error}");
    }
    let other = "ups-02.example.com".parse().expect("a name");
    let url = format!("https://{}", host.address);
    let api = HostApi::new(&url, &other, agent(), identity, reach("127.0.0.1")).expect("an address");
    let error = api.look().await.expect_err("another host is there");
    assert_eq!(error, AgentError::NotTheHost("the host's certificate is for another name".into()));
    assert_eq!(lock(&host.state).asked, Vec::<String>::new());
}

#[test]
fn only_a_plain_https_address_is_taken() {
    let authority = Authority::new("mutual");
    let client = authority.client();
    let identity =
        ClientIdentity::from_pem(client.certificate.as_bytes(), client.key.as_bytes(), authority.pem().as_bytes())
            .expect("an identity");
    let agent = || "powerchute".parse().expect("a name");
    let taken = |url: &str| HostApi::new(url, &name(), agent(), identity.clone(), Reach::default()).is_ok();
    for url in
        ["https://a.example.com", "https://a.example.com:9995", "https://192.0.2.1:1", "https://[2001:db8::1]:9995"]
    {
        assert!(taken(url), "{url}");
    }
    for url in [
        "http://a.example.com",
        "https://",
        "https://a:0",
        "https://a:99999",
        "https://a/path",
        "https://u@a",
        "https://a?q",
        "https://a:b",
        "https://[::1",
        "https://a b",
        "a.example.com:9995",
        "https://a%2f",
    ] {
        assert!(!taken(url), "{url}");
    }
}
