//! A spec as it is written: the members of every class side by side, since a schema knows no other union. The rules say which of
//! them belong to the product; what is read has those and no others.

use kube::KubeSchema;
use kube::core::{Reason, Rule};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    AgentApi, AgentRef, CertificateSpec, Class, IssuerRef, KeystoreSpec, ManagedAgentCertificateSpec, Procedure,
    Product, PushSpec, RenewalSpec, RepairSpec, RotationSpec, SpecError,
};

/// The objects in a spec.
const OBJECTS: [&str; 13] = [
    "agent",
    "api",
    "hostApi",
    "tlsSecretRef",
    "certificate",
    "subject",
    "privateKey",
    "issuerRef",
    "keystore",
    "passwordSecretRef",
    "renewal",
    "repair",
    "rotation",
];

/// What a product of one class lacks, or has of another class.
struct Misplaced {
    class: Class,
    field: &'static str,
    message: &'static str,
}

const NO_CERTIFICATE: Misplaced = Misplaced {
    class: Class::Push,
    field: "certificate",
    message: "this product is given its certificate: say here what it is for (dnsNames, duration)",
};
const NO_ISSUER: Misplaced = Misplaced {
    class: Class::Push,
    field: "issuerRef",
    message: "this product is given its certificate: name here the CA that signs it",
};
const NOT_TRIGGERED: Misplaced = Misplaced {
    class: Class::Push,
    field: "renewal",
    message: "this product is given its certificate: remove this; when it is renewed is said under spec.certificate",
};
const NOT_GIVEN: Misplaced = Misplaced {
    class: Class::Trigger,
    field: "certificate",
    message: "this product renews its own certificate: remove this; when it does is said under spec.renewal",
};
const NOT_SIGNED: Misplaced = Misplaced {
    class: Class::Trigger,
    field: "issuerRef",
    message: "this product renews its own certificate: remove this; nobody is asked to sign it",
};
const NOT_WRITTEN: Misplaced = Misplaced {
    class: Class::Trigger,
    field: "keystore",
    message: "this product renews its own certificate: remove this; its keystore is left to it",
};
const PUSH_NOT_REPAIRED: Misplaced = Misplaced {
    class: Class::Push,
    field: "repair",
    message: "this product is given its certificate, and is not repaired: remove this",
};
const TRIGGER_NOT_REPAIRED: Misplaced = Misplaced {
    class: Class::Trigger,
    field: "repair",
    message: "this product renews its own certificate, and is not repaired: remove this",
};
const NO_REPAIR: Misplaced = Misplaced {
    class: Class::Observe,
    field: "repair",
    message: "this product can only be looked at, and repaired when a person asks: write repair: {} here",
};
const OBSERVED_NOT_GIVEN: Misplaced = Misplaced {
    class: Class::Observe,
    field: "certificate",
    message: "this product can only be looked at: remove this; nothing is given to it",
};
const OBSERVED_NOT_SIGNED: Misplaced = Misplaced {
    class: Class::Observe,
    field: "issuerRef",
    message: "this product can only be looked at: remove this; nobody is asked to sign anything",
};
const OBSERVED_NOT_WRITTEN: Misplaced = Misplaced {
    class: Class::Observe,
    field: "keystore",
    message: "this product can only be looked at: remove this; no keystore of it is written",
};
const OBSERVED_NOT_RENEWED: Misplaced = Misplaced {
    class: Class::Observe,
    field: "renewal",
    message: "this product can only be looked at: remove this; it is never repaired because a time has come",
};

impl Misplaced {
    /// The rule that refuses a product of that class without the field.
    fn required(&self) -> Rule {
        self.rule(&format!("has(self.{})", self.field), Reason::FieldValueRequired)
    }

    /// The rule that refuses a product of that class with the field.
    fn forbidden(&self) -> Rule {
        self.rule(&format!("!has(self.{})", self.field), Reason::FieldValueForbidden)
    }

    fn rule(&self, holds: &str, reason: Reason) -> Rule {
        let products = Product::ALL.iter().filter(|product| product.class() == self.class);
        let products: Vec<_> = products.map(|product| format!("'{}'", product.id())).collect();
        let of_class = format!("self.agent.product in [{}]", products.join(", "));
        Rule::new(format!("!has(self.agent) || !has(self.agent.product) || !({of_class}) || {holds}"))
            .message(self.message)
            .reason(reason)
            .field_path(format!(".{}", self.field))
    }

    fn refused<T>(&self) -> Result<T, SpecError> {
        Err(SpecError::Field { field: self.field, message: self.message })
    }
}

/// The certificate of one vendor agent on one fleet host.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.host) || !has(oldSelf.host) || self.host == oldSelf.host").message("host is immutable: delete this resource and create one for the other host").field_path(".host"),
    validation = Rule::new("!has(self.agent) || !has(self.agent.product) || !has(oldSelf.agent) || !has(oldSelf.agent.product) || self.agent.product == oldSelf.agent.product").message("agent.product is immutable: delete this resource and create another").field_path(".agent.product"),
    validation = Rule::new("!has(self.agent) || !has(self.agent.name) || !has(oldSelf.agent) || !has(oldSelf.agent.name) || self.agent.name == oldSelf.agent.name").message("agent.name is immutable: delete this resource and create another").field_path(".agent.name"),
    validation = Rule::new("!has(self.agent) || !has(self.agent.product) || self.agent.product != 'powerchute-serial-shutdown' || !has(self.keystore) || !has(self.keystore.format) || self.keystore.format != 'PEM'").message("keystore.format: PowerChute reads no PEM").field_path(".keystore.format"),
    validation = Rule::new("!has(self.agent) || !has(self.agent.product) || self.agent.product != 'powerchute-serial-shutdown' || !has(self.keystore) || !has(self.keystore.alias) || self.keystore.alias == 'securekey'").message("keystore.alias: PowerChute loads its key from securekey only").field_path(".keystore.alias"),
    validation = NO_CERTIFICATE.required(),
    validation = NO_ISSUER.required(),
    validation = NOT_TRIGGERED.forbidden(),
    validation = NOT_GIVEN.forbidden(),
    validation = NOT_SIGNED.forbidden(),
    validation = NOT_WRITTEN.forbidden(),
    validation = PUSH_NOT_REPAIRED.forbidden(),
    validation = TRIGGER_NOT_REPAIRED.forbidden(),
    validation = NO_REPAIR.required(),
    validation = OBSERVED_NOT_GIVEN.forbidden(),
    validation = OBSERVED_NOT_SIGNED.forbidden(),
    validation = OBSERVED_NOT_WRITTEN.forbidden(),
    validation = OBSERVED_NOT_RENEWED.forbidden()
)]
pub(super) struct WrittenSpec {
    /// The fleet host, by the name its own configuration gives it. Immutable.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$")
    )]
    host: String,
    agent: AgentRef,
    api: AgentApi,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CertificateSpec")]
    certificate: Option<CertificateSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IssuerRef")]
    issuer_ref: Option<IssuerRef>,
    /// By default, the format and the alias are those that are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "KeystoreSpec")]
    keystore: Option<KeystoreSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RenewalSpec")]
    renewal: Option<RenewalSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RepairSpec")]
    repair: Option<RepairSpec>,
    #[serde(default)]
    rotation: RotationSpec,
}

impl ManagedAgentCertificateSpec {
    /// Reads a spec as the API server would take it: its shape, then every rule of the schema.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(value: Value) -> Result<Self, SpecError> {
        if value.is_array() {
            return Err(SpecError::Shape("it is a list, and must be an object".to_owned()));
        }
        if let Some(field) = list_for_object(&value) {
            return Err(SpecError::Shape(format!("{field} is a list, and must be an object")));
        }
        let written: WrittenSpec = serde_path_to_error::deserialize(value).map_err(|error| {
            let (path, what) = (error.path().to_string(), error.inner());
            SpecError::Shape(if path == "." { what.to_string() } else { format!("{path}: {what}") })
        })?;
        let spec = Self::try_from(written)?;
        spec.check().map(|()| spec)
    }
}

/// The first of [`OBJECTS`] that is a list: what is read into a struct may be a list of its fields, to serde.
fn list_for_object(value: &Value) -> Option<&str> {
    value.as_object()?.iter().find_map(|(key, value)| match value {
        Value::Array(_) => OBJECTS.contains(&key.as_str()).then_some(key.as_str()),
        value => list_for_object(value),
    })
}

impl TryFrom<WrittenSpec> for ManagedAgentCertificateSpec {
    type Error = SpecError;

    fn try_from(written: WrittenSpec) -> Result<Self, SpecError> {
        let WrittenSpec { host, agent, api, certificate, issuer_ref, keystore, renewal, repair, rotation } = written;
        let procedure = match agent.product.class() {
            Class::Push => match (certificate, issuer_ref, renewal, repair) {
                (None, _, _, _) => return NO_CERTIFICATE.refused(),
                (Some(_), None, _, _) => return NO_ISSUER.refused(),
                (Some(_), Some(_), Some(_), _) => return NOT_TRIGGERED.refused(),
                (Some(_), Some(_), None, Some(_)) => return PUSH_NOT_REPAIRED.refused(),
                (Some(certificate), Some(issuer_ref), None, None) => {
                    Procedure::Push(PushSpec { certificate, issuer_ref, keystore: keystore.unwrap_or_default() })
                }
            },
            Class::Trigger => match (certificate, issuer_ref, keystore, repair) {
                (Some(_), _, _, _) => return NOT_GIVEN.refused(),
                (None, Some(_), _, _) => return NOT_SIGNED.refused(),
                (None, None, Some(_), _) => return NOT_WRITTEN.refused(),
                (None, None, None, Some(_)) => return TRIGGER_NOT_REPAIRED.refused(),
                (None, None, None, None) => Procedure::Trigger { renewal: renewal.unwrap_or_default() },
            },
            Class::Observe => match (certificate, issuer_ref, keystore, renewal, repair) {
                (Some(_), _, _, _, _) => return OBSERVED_NOT_GIVEN.refused(),
                (None, Some(_), _, _, _) => return OBSERVED_NOT_SIGNED.refused(),
                (None, None, Some(_), _, _) => return OBSERVED_NOT_WRITTEN.refused(),
                (None, None, None, Some(_), _) => return OBSERVED_NOT_RENEWED.refused(),
                (None, None, None, None, None) => return NO_REPAIR.refused(),
                (None, None, None, None, Some(repair)) => Procedure::Repair(repair),
            },
        };
        Ok(Self { host, agent, api, procedure, rotation })
    }
}

impl From<ManagedAgentCertificateSpec> for WrittenSpec {
    fn from(spec: ManagedAgentCertificateSpec) -> Self {
        let ManagedAgentCertificateSpec { host, agent, api, procedure, rotation } = spec;
        let (certificate, issuer_ref, keystore, renewal, repair) = match procedure {
            Procedure::Push(PushSpec { certificate, issuer_ref, keystore }) => {
                (Some(certificate), Some(issuer_ref), Some(keystore), None, None)
            }
            Procedure::Trigger { renewal } => (None, None, None, Some(renewal), None),
            Procedure::Repair(repair) => (None, None, None, None, Some(repair)),
        };
        Self { host, agent, api, certificate, issuer_ref, keystore, renewal, repair, rotation }
    }
}

impl JsonSchema for ManagedAgentCertificateSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        WrittenSpec::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        WrittenSpec::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Holds B3: "invalid type" was said of a spec, and not of which field.
    #[test]
    fn what_has_another_shape_is_told_with_its_field() {
        let told = |value: Value| ManagedAgentCertificateSpec::read(value).expect_err("another shape").to_string();
        let agent = json!({"product": "tls-service", "name": "web"});
        let nested = told(json!({"host": "h", "agent": agent, "api": {}, "certificate": {"dnsNames": ["h", 7]}}));
        assert!(nested.starts_with("spec: certificate.dnsNames[1]: invalid type"), "{nested}");
        let missing = told(json!({"agent": agent, "api": {}}));
        assert!(missing.starts_with("spec: missing field `host`"), "{missing}");
        let list = told(json!(["ups-01.example.com"]));
        assert!(list.starts_with("spec: it is a list"), "{list}");
    }
}
