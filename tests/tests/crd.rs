//! The CRD in a real API server: what it takes, what it refuses and with which words, and what `kubectl` makes of it.

use anyhow::{Context, Result, ensure};
use kagiban_crds::resource::ManagedAgentCertificateSpec;
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::kubectl::Kubectl;
use serde_json::{Value, json};

fn accepted() -> Value {
    json!({
        "apiVersion": "kagiban.dev/v1alpha1",
        "kind": "ManagedAgentCertificate",
        "metadata": {"name": "ups-01-powerchute"},
        "spec": {
            "host": "ups-01.example.com",
            "agent": {"product": "powerchute-serial-shutdown", "name": "powerchute"},
            "api": {"hostApi": {"url": "https://ups-01.example.com:9995", "tlsSecretRef": {"name": "fleet-client"}}},
            "certificate": {"dnsNames": ["ups-01.example.com"], "duration": "2160h", "renewBefore": "720h"},
            "issuerRef": {"kind": "CASecret", "name": "fleet-ca"}
        }
    })
}

/// One whose agent renews its own certificate.
fn accepted_renewal() -> Value {
    let mut object = accepted();
    let spec = object["spec"].as_object_mut().expect("an object");
    spec.remove("certificate");
    spec.remove("issuerRef");
    spec.insert("agent".to_owned(), json!({"product": "self-renewing-service", "name": "web"}));
    spec.insert("renewal".to_owned(), json!({"renewBefore": "720h"}));
    object
}

/// The accepted resource with one value set, or taken away where it is null.
fn with(pointer: &str, value: Value) -> Value {
    changed(accepted(), pointer, value)
}

fn changed(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer with a parent");
    let parent = object.pointer_mut(parent).expect("a parent that is there").as_object_mut().expect("an object");
    if value.is_null() {
        parent.remove(key);
    } else {
        parent.insert(key.to_owned(), value);
    }
    object
}

fn in_new_namespace(name: &str) -> Result<Kubectl> {
    ControlPlane::shared()?.admin()?.create_namespace(name)
}

fn try_create(kubectl: &Kubectl, object: &Value) -> Result<String> {
    kubectl.run_with_input(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &object.to_string())
}

#[test]
fn every_rule_refuses_its_example_with_words_that_help() -> Result<()> {
    let kubectl = in_new_namespace("crd-refused")?;
    let certificate = "/spec/certificate";
    let refused = [
        ("/metadata/name", json!("a".repeat(64)), "at most 63 characters"),
        ("/spec/host", json!("UPS-01"), "spec.host"),
        ("/spec/host", json!("../etc"), "spec.host"),
        ("/spec/agent/product", json!("notepad"), "Unsupported value"),
        ("/spec/agent/name", json!("a/b"), "spec.agent.name"),
        ("/spec/api/hostApi", Value::Null, "exactly one API must be set"),
        ("/spec/api/hostApi/url", json!("http://ups-01.example.com"), "spec.api.hostApi.url"),
        ("/spec/api/hostApi/url", json!("https://ups-01.example.com/x?y"), "spec.api.hostApi.url"),
        ("/spec/api/hostApi/url", json!("https://user@ups-01.example.com"), "spec.api.hostApi.url"),
        (certificate, json!({"dnsNames": []}), "dnsNames"),
        (certificate, json!({"dnsNames": ["a b"]}), "dnsNames"),
        (certificate, json!({"dnsNames": ["a"], "duration": "90d"}), "duration"),
        (certificate, json!({"dnsNames": ["a"], "duration": "30m"}), "duration must be at least 1h"),
        (
            certificate,
            json!({"dnsNames": ["a"], "duration": "720h", "renewBefore": "720h"}),
            "must be less than duration",
        ),
        (certificate, json!({"dnsNames": ["a"], "renewBefore": "1m"}), "at least 5m"),
        (
            certificate,
            json!({"dnsNames": ["a"], "renewBefore": "720h", "renewBeforePercentage": 10}),
            "exclude each other",
        ),
        (certificate, json!({"dnsNames": ["a"], "renewBeforePercentage": 100}), "renewBeforePercentage"),
        (certificate, json!({"dnsNames": ["a"], "privateKey": {"size": 1024}}), "2048, 3072 or 4096"),
        (
            certificate,
            json!({"dnsNames": ["a"], "privateKey": {"algorithm": "ECDSA", "size": 2048}}),
            "256 or 384 for ECDSA",
        ),
        (certificate, json!({"dnsNames": ["a"], "privateKey": {"custody": "Operator"}}), "Unsupported value"),
        ("/spec/issuerRef", json!({"kind": "Vault", "name": "x"}), "Unsupported value"),
        ("/spec/keystore", json!({"password": "hunter22"}), "unknown field"),
        ("/spec/keystore", json!({"format": "BKS"}), "Unsupported value"),
    ];
    try_create(&kubectl, &accepted()).context("the example that the refused ones differ from")?;
    for (pointer, value, words) in refused {
        let shown = format!("{pointer} = {value}");
        let error =
            try_create(&kubectl, &with(pointer, value)).err().with_context(|| format!("{shown} was accepted"))?;
        ensure!(format!("{error:#}").contains(words), "{shown}: {error:#}");
    }
    Ok(())
}

/// What belongs to another class of product is told where it stands, and so is what is missing.
#[test]
fn what_does_not_belong_to_the_product_is_refused_where_it_stands() -> Result<()> {
    let kubectl = in_new_namespace("crd-classes")?;
    let (given, own) = ("this product is given its certificate", "this product renews its own certificate");
    let certificate = json!({"dnsNames": ["ups-01.example.com"]});
    let required = "Required value: it is missing: this product is given its certificate";
    let cases = [
        (accepted(), "/spec/certificate", Value::Null, "spec.certificate", required),
        (accepted(), "/spec/issuerRef", Value::Null, "spec.issuerRef", required),
        (accepted(), "/spec/renewal", json!({}), "spec.renewal", given),
        (accepted_renewal(), "/spec/certificate", certificate, "spec.certificate", own),
        (accepted_renewal(), "/spec/issuerRef", json!({"name": "fleet-ca"}), "spec.issuerRef", own),
        (accepted_renewal(), "/spec/keystore", json!({}), "spec.keystore", own),
        (accepted_renewal(), "/spec/agent/product", json!("tls-service"), "spec.certificate", required),
        (accepted(), "/spec/agent/product", json!("powerchute-business-edition"), "spec.issuerRef", own),
        (accepted_renewal(), "/spec/renewal/renewBefore", json!("4m59s"), "spec.renewal.renewBefore", "at least 5m"),
        (
            accepted_renewal(),
            "/spec/renewal/renewBeforePercentage",
            json!(30),
            "spec.renewal",
            "renewBefore and renewBeforePercentage exclude each other",
        ),
    ];
    for (object, pointer, value, field, words) in cases {
        let shown = format!("{pointer} = {value} of {}", object["spec"]["agent"]);
        let object = changed(object, pointer, value);
        let read = ManagedAgentCertificateSpec::read(object["spec"].clone());
        ensure!(read.is_err(), "{shown} is read");
        let error = try_create(&kubectl, &object).err().with_context(|| format!("{shown} was accepted"))?;
        let told = format!("{error:#}");
        ensure!(told.contains(&format!("{field}: ")) && told.contains(words), "{shown}: {told}");
        ensure!(!told.contains("no such key") && !told.contains("evaluation"), "{shown}: a rule fails: {told}");
    }
    Ok(())
}

#[test]
fn what_may_be_written_is_accepted_and_gets_its_defaults() -> Result<()> {
    let kubectl = in_new_namespace("crd-accepted")?;
    let objects = [
        with("/spec/certificate", json!({"dnsNames": ["ups-01.example.com"]})),
        with("/spec/certificate", json!({"dnsNames": ["*.example.com"], "renewBeforePercentage": 33})),
        with("/spec/certificate", json!({"dnsNames": ["a"], "privateKey": {"algorithm": "ECDSA", "size": 256}})),
        with("/spec/api/hostApi/url", json!("https://[2001:db8::1]:9995")),
        with(
            "/spec/keystore",
            json!({"passwordSecretRef": {"name": "store"}, "onUnreadable": "Replace", "format": "JKS"}),
        ),
    ];
    for object in objects {
        let created: Value = serde_json::from_str(&try_create(&kubectl, &object)?)?;
        ensure!(created["spec"]["certificate"]["duration"].is_string(), "no default duration: {created}");
        let keystore = &created["spec"]["keystore"];
        ensure!(keystore.is_null() || keystore["onUnreadable"].is_string(), "no default for onUnreadable: {created}");
        // what is left out is what the API server writes where a part of it is given
        let written = changed(created.clone(), "/spec/keystore", keystore_of(keystore));
        let read = |object: &Value| ManagedAgentCertificateSpec::read(object["spec"].clone());
        ensure!(read(&created)? == read(&written)?, "{created}");
    }
    for product in ["self-renewing-service", "powerchute-business-edition"] {
        for renewal in [Value::Null, json!({}), json!({"renewBefore": "876000h"}), json!({"renewBeforePercentage": 90})]
        {
            let object = changed(accepted_renewal(), "/spec/agent/product", json!(product));
            let object = changed(object, "/spec/renewal", renewal.clone());
            let created: Value = serde_json::from_str(&try_create(&kubectl, &object)?)?;
            let spec = created["spec"].as_object().context("an object")?;
            let belongs = |key: &String| ["agent", "api", "host", "renewal", "rotation"].contains(&key.as_str());
            ensure!(spec.keys().all(belongs), "what does not belong to it has a default: {created}");
            ensure!(created["spec"]["renewal"] == renewal, "{created}");
        }
    }
    Ok(())
}

/// As it is with the defaults of its parts.
fn keystore_of(keystore: &Value) -> Value {
    let mut whole = json!({"format": "Auto", "onUnreadable": "Refuse"});
    for (key, value) in keystore.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    whole
}

/// Where it is changed, what is refused with which words, and the neighbour that is taken.
type Pair = (&'static str, Value, &'static str, Value);

fn pairs() -> Vec<Pair> {
    let url = "/spec/api/hostApi/url";
    let names = "/spec/certificate/dnsNames";
    let addresses = "/spec/certificate/ipAddresses";
    let key = "/spec/certificate/privateKey";
    let keystore = "/spec/keystore";
    let long = |length: usize| "a".repeat(length);
    vec![
        (addresses, json!(["not-an-ip"]), "each must be an IP address", json!(["192.0.2.1"])),
        (addresses, json!(["::ffff:192.0.2.1"]), "each must be an IP address", json!(["2001:db8::1"])),
        (addresses, json!(["192.0.2.1", "192.0.2.1"]), "stands there twice", json!(["192.0.2.1", "192.0.2.2"])),
        (addresses, json!(["2001:db8::1", "2001:DB8:0::1"]), "stands there twice", json!(["2001:DB8:0::1"])),
        (url, json!("https://ups-01.example.com:0"), "1 to 65535", json!("https://ups-01.example.com:1")),
        (url, json!("https://ups-01.example.com:99999"), "1 to 65535", json!("https://ups-01.example.com:65535")),
        (url, json!("https://[::::]:9995"), "must be an IPv6 address", json!("https://[::1]:9995")),
        (url, json!("https://192.0.2.256"), "must be an IP address", json!("https://192.0.2.255")),
        (url, json!("https://ups-01.12:9995"), "must be an IP address", json!("https://12.ups-01:9995")),
        (url, json!(format!("https://{}", long(64))), "should match", json!(format!("https://{}", long(63)))),
        (names, json!([long(100)]), "should match", json!([long(63)])),
        (names, json!(["192.0.2.1"]), "it belongs in ipAddresses", json!(["192.0.2.1.example.com"])),
        (names, json!(["a.example.com", "a.example.com"]), "stands there twice", json!(["a.example.com"])),
        (names, json!(["*.com"]), "at least two labels", json!(["*.example.com"])),
        (keystore, json!({"alias": "a\nb"}), "no line ends", json!({"alias": "securekey"})),
        (keystore, json!({"alias": "a\0b"}), "no control characters", json!({"alias": "securekey"})),
        (keystore, json!({"alias": "other"}), "securekey only", json!({"alias": "securekey"})),
        (keystore, json!({"format": "PEM"}), "PowerChute reads no PEM", json!({"format": "PKCS12"})),
        (
            keystore,
            json!({"passwordSecretRef": {"name": "../kube-system/x"}}),
            "should match",
            json!({"passwordSecretRef": {"name": "kube-system.x"}}),
        ),
        (
            keystore,
            json!({"passwordSecretRef": {"name": "x", "key": "a/b"}}),
            "should match",
            json!({"passwordSecretRef": {"name": "x", "key": "a_b.C-1"}}),
        ),
        ("/spec/issuerRef/name", json!("../kube-system/x"), "should match", json!("fleet.ca-1")),
        ("/spec/api/hostApi/tlsSecretRef/name", json!("a?b"), "should match", json!("a.b")),
        (key, json!({"algorithm": "ECDSA", "size": 521}), "256 or 384 for ECDSA", json!({"algorithm": "ECDSA"})),
    ]
}

/// Holds B15, and of B17 that `algorithm: ECDSA` needs no size.
#[test]
fn what_no_host_can_be_asked_is_refused_with_its_reason_and_its_neighbour_is_taken() -> Result<()> {
    let kubectl = in_new_namespace("crd-pairs")?;
    for (pointer, refused, words, taken) in pairs() {
        let shown = format!("{pointer} = {refused}");
        let error =
            try_create(&kubectl, &with(pointer, refused)).err().with_context(|| format!("{shown} was accepted"))?;
        ensure!(format!("{error:#}").contains(words), "{shown}: {error:#}");
        let shown = format!("{pointer} = {taken}");
        try_create(&kubectl, &with(pointer, taken)).with_context(|| shown)?;
    }
    Ok(())
}

/// Edges of every field: at the limit, one beyond it, and what only one of two readers might take.
fn edges() -> Vec<(&'static str, Vec<Value>)> {
    let text = |texts: &[&str]| texts.iter().map(|text| json!(text)).collect::<Vec<_>>();
    let long = |length: usize| "a".repeat(length);
    let durations = [
        "1h",
        "59m59s",
        "60m",
        "3600s",
        "1.5h",
        "-1h",
        "+1h",
        "1us",
        "1ms",
        "1e3h",
        "1d",
        "0",
        "0h",
        "h",
        "1",
        "",
        " 1h",
        "1h ",
        "1h\n",
        "1h1h",
        "30m1h",
        "1H",
        "00001h",
        "0000001h",
        "876000h",
        "876001h",
        "876000h1s",
        "900000h",
        "999999h",
        "9999999m",
        "99999999m",
        "999999999s",
        "9999999999s",
        "999999h9999999m",
        "1h60m",
        "2540400h10m10s",
        "∞h",
        "１h",
    ];
    let lists = |items: &[&[&str]]| items.iter().map(|item| json!(item)).collect::<Vec<_>>();
    let numbered = |count: usize| json!((0..count).map(|i| format!("a{i}.example.com")).collect::<Vec<_>>());
    let addressed = |count: usize| json!((0..count).map(|i| format!("192.0.2.{i}")).collect::<Vec<_>>());
    let subdomains = [
        "a",
        "A",
        "a_b",
        "a.b",
        "a..b",
        ".a",
        "a.",
        "-a",
        "a-",
        "a/b",
        "..",
        "a b",
        "a\0",
        "a\n",
        "ä",
        "",
        "1",
        "192.0.2.1",
    ];
    let hosts: Vec<Value> = text(&subdomains).into_iter().chain([json!(long(63)), json!(long(64))]).collect();
    let secrets: Vec<Value> =
        text(&subdomains).into_iter().chain([json!(long(64)), json!(long(253)), json!(long(254))]).collect();
    vec![
        ("/spec/host", hosts.clone()),
        ("/spec/agent/name", [hosts, text(&["a.b"])].concat()),
        ("/spec/agent/product", text(&["tls-service", "TLS-Service", "self-renewing-service", "apex-one", ""])),
        ("/spec/issuerRef/name", secrets.clone()),
        ("/spec/issuerRef/kind", text(&["CASecret", "casecret", ""])),
        ("/spec/api/hostApi/tlsSecretRef/name", secrets.clone()),
        (
            "/spec/api/hostApi/url",
            text(&[
                "https://a",
                "https://a:1",
                "https://a:0",
                "https://a:00001",
                "https://a:65535",
                "https://a:65536",
                "https://a:",
                "https://a:x",
                "https://",
                "https://A",
                "HTTPS://a",
                "http://a",
                "https://a/",
                "https://a?",
                "https://a#",
                "https://u@a",
                "https://a.",
                "https://a..b",
                "https://192.0.2.1",
                "https://192.0.2.01",
                "https://192.0.2",
                "https://1",
                "https://a.1",
                "https://0x7f.1",
                "https://[::]",
                "https://[::1]:1",
                "https://[::1",
                "https://::1",
                "https://[]",
                "https://[192.0.2.1]",
                "https://[::ffff:192.0.2.1]",
                "https://[1:2:3:4:5:6:7:8]",
                "https://[1:2:3:4:5:6:7:8:9]",
                "https://[fe80::1%25eth0]",
                "https://[::1]x",
                "https://[::1]:99999",
                "https://[::A]",
                "https://a:1\n",
            ]),
        ),
        (
            "/spec/certificate/dnsNames",
            [
                lists(&[
                    &[],
                    &["a"],
                    &["*"],
                    &["*."],
                    &["*.a"],
                    &["*.a.b"],
                    &["*.*.a"],
                    &["a.*.b"],
                    &["A"],
                    &["a."],
                    &["a_b"],
                    &["a", "b", "a"],
                    &["192.0.2.1"],
                    &["a.1"],
                    &["1.a"],
                    &["::1"],
                    &["a b"],
                    &[""],
                    &["*.a.1"],
                ]),
                vec![numbered(32), numbered(33), json!([long(63)]), json!([long(64)])],
            ]
            .concat(),
        ),
        (
            "/spec/certificate/ipAddresses",
            [
                lists(&[
                    &[],
                    &["192.0.2.1"],
                    &["192.0.2.01"],
                    &["192.0.2"],
                    &["::"],
                    &["::1"],
                    &["::FFFF:1"],
                    &["::ffff:1.2.3.4"],
                    &["::1.2.3.4"],
                    &["fe80::1%eth0"],
                    &["[::1]"],
                    &["::1", "0:0::1"],
                    &["a"],
                    &[""],
                    &["192.0.2.1/32"],
                ]),
                vec![addressed(16), addressed(17)],
            ]
            .concat(),
        ),
        ("/spec/certificate/duration", text(&durations)),
        ("/spec/certificate/renewBefore", [text(&durations), text(&["5m", "4m59s", "2159h59m", "2160h"])].concat()),
        (
            "/spec/certificate/renewBeforePercentage",
            [json!(0), json!(1), json!(90), json!(91), json!(256), json!(-1), json!(1.5), json!("1")].to_vec(),
        ),
        (
            "/spec/certificate/privateKey",
            [
                json!({}),
                json!({"size": 2048}),
                json!({"size": 256}),
                json!({"size": 0}),
                json!({"size": -1}),
                json!({"size": 65536}),
                json!({"size": 70000}),
                json!({"algorithm": "ECDSA"}),
                json!({"algorithm": "rsa"}),
                json!({"algorithm": "ECDSA", "size": 384}),
                json!({"algorithm": "ECDSA", "size": 2048}),
                json!({"custody": "Host"}),
                json!({"custody": "Operator"}),
            ]
            .to_vec(),
        ),
        (
            "/spec/keystore",
            [
                json!({}),
                json!({"format": "JKS"}),
                json!({"format": "jks"}),
                json!({"format": "PEM"}),
                json!({"alias": ""}),
                json!({"alias": "a b"}),
                json!({"alias": "鍵"}),
                json!({"alias": "a\tb"}),
                json!({"alias": "a\u{85}b"}),
                json!({"alias": "a\u{a0}b"}),
                json!({"alias": "a\u{202e}b"}),
                json!({"alias": "a\u{200d}b"}),
                json!({"alias": "a\u{feff}b"}),
                json!({"alias": "😀"}),
                json!({"alias": "a".repeat(128)}),
                json!({"alias": "鍵".repeat(128)}),
                json!({"alias": "鍵".repeat(129)}),
                json!({"alias": "a", "format": "PEM"}),
                json!({"onUnreadable": "Replace"}),
                json!({"onUnreadable": "x"}),
                json!({"passwordSecretRef": {"name": "a", "key": ""}}),
                json!({"passwordSecretRef": {"name": "a", "key": "a b"}}),
                json!({"passwordSecretRef": {"name": "a", "key": "a".repeat(253)}}),
                json!({"passwordSecretRef": {"name": "a", "key": "a".repeat(254)}}),
                json!({"passwordSecretRef": {}}),
            ]
            .into_iter()
            .chain(secrets.into_iter().map(|name| json!({"passwordSecretRef": {"name": name}})))
            .collect(),
        ),
        // serde reads a struct from a list of its fields, too
        ("/spec/certificate/privateKey", vec![json!([]), json!(["RSA"]), json!(["RSA", 2048, "Host"])]),
        ("/spec/issuerRef", vec![json!([]), json!(["CASecret", "fleet-ca"])]),
        ("/spec/api", vec![json!([]), json!([{"url": "https://a", "tlsSecretRef": {"name": "a"}}])]),
        ("/spec/api/hostApi", vec![json!(["https://a", {"name": "a"}])]),
        ("/spec/api/hostApi/tlsSecretRef", vec![json!(["a"])]),
        ("/spec/keystore", vec![json!([]), json!(["Auto"]), json!({"passwordSecretRef": ["a"]})]),
        ("/spec/certificate", vec![json!([["a"]])]),
        (
            "/spec/rotation",
            [
                json!({}),
                json!([]),
                json!([true]),
                json!({"paused": true}),
                json!({"paused": "yes"}),
                json!({"nearExpiry": "Wait"}),
            ]
            .to_vec(),
        ),
    ]
}

/// Edges of what is said of an agent that renews its own certificate.
fn renewal_edges() -> Vec<(&'static str, Vec<Value>)> {
    let of_certificate = |field: &str| {
        let edges = edges().into_iter().find(|(pointer, _)| *pointer == format!("/spec/certificate/{field}"));
        edges.expect("edges of that field").1
    };
    let products = ["self-renewing-service", "powerchute-business-edition", "tls-service", "apex-one"];
    vec![
        ("/spec/agent/product", products.map(|product| json!(product)).to_vec()),
        ("/spec/renewal/renewBefore", of_certificate("renewBefore")),
        ("/spec/renewal/renewBeforePercentage", of_certificate("renewBeforePercentage")),
        (
            "/spec/renewal",
            [
                json!({}),
                json!([]),
                json!("720h"),
                json!({"renewBefore": "720h", "renewBeforePercentage": 10}),
                json!({"renewBefore": null, "renewBeforePercentage": 10}),
                json!({"renewBefore": "720h", "renewBeforePercentage": null}),
                json!({"renewBefore": null, "renewBeforePercentage": null}),
                json!({"renewBefore": null}),
                json!({"renewBefore": 5}),
            ]
            .to_vec(),
        ),
        ("/spec/rotation", [json!({}), json!([]), json!({"paused": true}), json!({"nearExpiry": "Wait"})].to_vec()),
        ("/spec/agent", vec![json!(["self-renewing-service", "web"])]),
    ]
}

/// With each member that a class has, and a class may not have: absent, null, empty and whole.
fn of_both_classes() -> Vec<Value> {
    let members = [
        ("/spec/certificate", json!({"dnsNames": ["ups-01.example.com"]})),
        ("/spec/issuerRef", json!({"name": "fleet-ca"})),
        ("/spec/keystore", json!({"format": "PKCS12"})),
        ("/spec/renewal", json!({"renewBeforePercentage": 10})),
    ];
    let mut objects = Vec::new();
    for product in ["tls-service", "powerchute-serial-shutdown", "self-renewing-service", "powerchute-business-edition"]
    {
        for base in [accepted(), accepted_renewal()] {
            let base = changed(base, "/spec/agent/product", json!(product));
            objects.push(base.clone());
            for (pointer, whole) in &members {
                objects.push(changed(base.clone(), pointer, Value::Null));
                for value in [Value::Null, json!({}), whole.clone()] {
                    let (_, key) = pointer.rsplit_once('/').expect("a pointer");
                    let mut object = base.clone();
                    object["spec"][key] = value;
                    objects.push(object);
                }
            }
        }
    }
    objects
}

/// Holds B3: what one reader takes and the other does not would strand a resource.
#[test]
fn the_schema_and_the_operator_take_the_same_of_each_class() -> Result<()> {
    let kubectl = in_new_namespace("crd-class-edges")?;
    let mut objects = of_both_classes();
    for (pointer, value) in renewal_edges().iter().flat_map(|(pointer, of)| of.iter().map(move |v| (pointer, v))) {
        let is_percentage = pointer.ends_with("Percentage");
        let base =
            if is_percentage { changed(accepted_renewal(), "/spec/renewal", json!({})) } else { accepted_renewal() };
        objects.push(changed(base, pointer, value.clone()));
    }
    let mut differences = Vec::new();
    let mut taken = 0;
    for object in objects {
        let read = ManagedAgentCertificateSpec::read(object["spec"].clone());
        let created = try_create(&kubectl, &object);
        taken += usize::from(created.is_ok());
        match (created, read) {
            (Ok(created), read) => {
                let created: Value = serde_json::from_str(&created)?;
                let stored = ManagedAgentCertificateSpec::read(created["spec"].clone());
                if let Err(error) = stored.and(read) {
                    differences.push(format!("{}: the API server takes it, we do not: {error}", object["spec"]));
                }
            }
            (Err(error), Ok(_)) => {
                differences.push(format!("{}: we take it, the API server does not: {error:#}", object["spec"]));
            }
            (Err(error), Err(_)) if format!("{error:#}").contains("evaluation") => {
                differences.push(format!("{}: a rule fails: {error:#}", object["spec"]));
            }
            (Err(_), Err(_)) => {}
        }
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    ensure!(taken > 40, "only {taken} were taken");
    Ok(())
}

/// Holds B3: what one reader takes and the other does not would strand a resource.
#[test]
fn the_schema_and_the_operator_take_the_same() -> Result<()> {
    let kubectl = in_new_namespace("crd-edges")?;
    let mut differences = Vec::new();
    for (product, pointers) in [("tls-service", edges()), ("powerchute-serial-shutdown", keystores(edges()))] {
        for (pointer, value) in pointers.iter().flat_map(|(pointer, values)| values.iter().map(move |v| (pointer, v))) {
            let mut object = with(pointer, value.clone());
            if !pointer.starts_with("/spec/agent/product") {
                object["spec"]["agent"]["product"] = json!(product);
            }
            if *pointer == "/spec/certificate/duration" || *pointer == "/spec/certificate/renewBeforePercentage" {
                object["spec"]["certificate"].as_object_mut().context("an object")?.remove("renewBefore");
            }
            let read = ManagedAgentCertificateSpec::read(object["spec"].clone());
            match try_create(&kubectl, &object) {
                Ok(created) => {
                    let created: Value = serde_json::from_str(&created)?;
                    if let Err(error) = ManagedAgentCertificateSpec::read(created["spec"].clone()).and(read) {
                        differences.push(format!("{pointer} = {value}: the API server takes it, we do not: {error}"));
                    }
                }
                Err(error) if read.is_ok() => {
                    differences.push(format!("{pointer} = {value}: we take it, the API server does not: {error:#}"));
                }
                Err(_) => {}
            }
        }
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

/// Only what has rules of its own per product.
fn keystores(edges: Vec<(&'static str, Vec<Value>)>) -> Vec<(&'static str, Vec<Value>)> {
    edges.into_iter().filter(|(pointer, _)| *pointer == "/spec/keystore").collect()
}

#[test]
fn what_identifies_the_agent_cannot_be_changed() -> Result<()> {
    let kubectl = in_new_namespace("crd-immutable")?;
    kubectl.apply(&accepted().to_string())?;
    for (pointer, value) in [("host", json!("ups-02.example.com")), ("agent", json!({"name": "other"}))] {
        let patch = json!({"spec": {pointer: value}}).to_string();
        let error = kubectl.run(&["patch", "mac", "ups-01-powerchute", "--type=merge", "-p", &patch]);
        let error = error.err().with_context(|| format!("{pointer} could be changed"))?;
        ensure!(format!("{error:#}").contains("immutable"), "{error:#}");
    }
    kubectl.run(&[
        "patch",
        "mac",
        "ups-01-powerchute",
        "--type=merge",
        "-p",
        r#"{"spec":{"rotation":{"paused":true}}}"#,
    ])?;
    Ok(())
}

#[test]
fn the_short_name_the_columns_and_the_field_selectors_work() -> Result<()> {
    let kubectl = in_new_namespace("crd-kubectl")?;
    kubectl.apply(&accepted().to_string())?;
    let table = kubectl.run(&["get", "mac"])?;
    let header: Vec<_> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(header == ["NAME", "HOST", "PRODUCT", "READY", "EXPIRES", "NEXT-ROTATION", "BLOCKED-BY", "AGE"], "{table}");
    kubectl.apply(&changed(accepted_renewal(), "/metadata/name", json!("ups-01-web")).to_string())?;
    for (selector, lines) in [
        ("spec.host=ups-01.example.com", 2),
        ("spec.host=ups-02.example.com", 0),
        ("spec.agent.product=self-renewing-service", 1),
        ("spec.issuerRef.name=fleet-ca", 1),
    ] {
        let found = kubectl.run(&["get", "mac", "--field-selector", selector, "-o", "name"])?;
        ensure!(found.lines().count() == lines, "{selector}: {found:?}");
    }
    kubectl.run(&["explain", "mac.spec.certificate.renewBefore"])?;
    kubectl.run(&["explain", "mac.spec.renewal.renewBefore"])?;
    Ok(())
}
