//! The edges of every field: what the schema takes, the operator takes, and nothing else.

use anyhow::{Context, Result, ensure};
use kagiban_crds::resource::ManagedAgentCertificateSpec;
use serde_json::{Value, json};

use super::{in_new_namespace, try_create, with};

/// Edges of every field: at the limit, one beyond it, and what only one of two readers might take.
pub(super) fn edges() -> Vec<(&'static str, Vec<Value>)> {
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
        ("/spec/agent/product", text(&["tls-service", "TLS-Service", "self-renewing-service", "apex-one", "none", ""])),
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
            "/spec/certificate/subject",
            ["countries", "provinces", "localities", "organizations", "organizationalUnits"]
                .iter()
                .flat_map(|field| {
                    let texts = [
                        "",
                        " ",
                        "A",
                        "JP",
                        "jp",
                        "JPN",
                        " A",
                        "A ",
                        "A B",
                        "A\u{3000}",
                        "A\n",
                        "A\u{a0}",
                        "日本",
                        "A\u{200b}",
                        "\u{feff}A",
                        "A\u{202e}B",
                    ];
                    let lengths = [64, 65, 128, 129];
                    let of = move |values: Value| json!({*field: values});
                    let one = texts.iter().map(|text| json!([text]));
                    let long =
                        lengths.into_iter().flat_map(|length| [json!([long(length)]), json!(["語".repeat(length)])]);
                    one.chain(long).chain([json!([]), json!(["JP", "JP"])]).map(of).collect::<Vec<_>>()
                })
                .chain([json!({})])
                .collect(),
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
