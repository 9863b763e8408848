//! What a standalone operator makes of a resource, beside what the API server does.

use std::sync::LazyLock;

use anyhow::Result;
use kagiban_operator::cluster::standalone::admission::Admission;
use serde_json::Value;

/// Panics where they differ: in whether they take it, in a word of why they do not, or in what they make of it. `old` is what it
/// would replace.
pub(super) fn expect_the_same(object: &Value, old: Option<&Value>, answer: &Result<String>) {
    static ADMISSION: LazyLock<Admission> = LazyLock::new(|| Admission::new().expect("the CRD is known"));
    let admitted = ADMISSION.admit(object, old);
    let differs = |how: String| panic!("{how}\nof {object}");
    match (answer, admitted) {
        (Ok(created), Ok(kept)) => {
            let created: Value = serde_json::from_str(created).expect("JSON");
            if created["spec"] != kept["spec"] {
                differs(format!(
                    "the API server makes {}, and a standalone operator {}",
                    created["spec"], kept["spec"]
                ));
            }
        }
        (Ok(_), Err(errors)) => differs(format!("the API server takes it, and a standalone operator says: {errors:?}")),
        (Err(error), Ok(_)) => differs(format!("a standalone operator takes it, and the API server says: {error:#}")),
        (Err(error), Err(errors)) => {
            let told = format!("{error:#}");
            for error in errors.iter().map(ToString::to_string).filter(|error| !told.contains(error.as_str())) {
                differs(format!("a standalone operator says {error:?}, and the API server: {told}"));
            }
        }
    }
}

/// One that the CRD took once.
pub(super) fn merged(mut object: Value, field: &str, value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                object["spec"][field][name] = value.clone();
            }
        }
        value => object["spec"][field] = value.clone(),
    }
    object
}
