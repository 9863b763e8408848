//! What belongs to which class of product: the rules of the schema and ours, against each other.

use anyhow::{Context, Result, ensure};
use kagiban_crds::resource::ManagedAgentCertificateSpec;
use serde_json::{Value, json};

use super::edges::edges;
use super::{accepted, accepted_renewal, accepted_repair, changed, in_new_namespace, try_create};

/// What belongs to another class of product is told where it stands, and so is what is missing.
#[test]
fn what_does_not_belong_to_the_product_is_refused_where_it_stands() -> Result<()> {
    let kubectl = in_new_namespace("crd-classes")?;
    let (given, own) = ("this product is given its certificate", "this product renews its own certificate");
    let certificate = json!({"dnsNames": ["ups-01.example.com"]});
    let required = "Required value: this product is given its certificate";
    let observed = "this product can only be looked at";
    let cases = [
        (accepted(), "/spec/certificate", Value::Null, "spec.certificate", required),
        (accepted(), "/spec/issuerRef", Value::Null, "spec.issuerRef", required),
        (accepted(), "/spec/renewal", json!({}), "spec.renewal", given),
        (accepted(), "/spec/repair", json!({}), "spec.repair", given),
        (accepted_renewal(), "/spec/repair", json!({}), "spec.repair", own),
        (accepted_repair(), "/spec/repair", Value::Null, "spec.repair", observed),
        (accepted_repair(), "/spec/certificate", certificate.clone(), "spec.certificate", observed),
        (accepted_repair(), "/spec/issuerRef", json!({"name": "fleet-ca"}), "spec.issuerRef", observed),
        (accepted_repair(), "/spec/keystore", json!({}), "spec.keystore", observed),
        (accepted_repair(), "/spec/renewal", json!({}), "spec.renewal", observed),
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

/// Edges of what is said of an agent that renews its own certificate.
fn renewal_edges() -> Vec<(&'static str, Vec<Value>)> {
    let of_certificate = |field: &str| {
        let edges = edges().into_iter().find(|(pointer, _)| *pointer == format!("/spec/certificate/{field}"));
        edges.expect("edges of that field").1
    };
    let products = [
        "self-renewing-service",
        "powerchute-business-edition",
        "tls-service",
        "virus-buster-corp",
        "apex-one",
        "none",
    ];
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
fn of_each_class() -> Vec<Value> {
    let members = [
        ("/spec/certificate", json!({"dnsNames": ["ups-01.example.com"]})),
        ("/spec/issuerRef", json!({"name": "fleet-ca"})),
        ("/spec/keystore", json!({"format": "PKCS12"})),
        ("/spec/renewal", json!({"renewBeforePercentage": 10})),
        ("/spec/repair", json!({})),
    ];
    let mut objects = Vec::new();
    for product in kagiban_crds::resource::Product::ALL.map(kagiban_crds::resource::Product::id) {
        for base in [accepted(), accepted_renewal(), accepted_repair()] {
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
    let mut objects = of_each_class();
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
