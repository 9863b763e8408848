//! `ManagedAgentCertificate`, version `v1alpha1`: the certificate of one agent on one host, as users write it.
//!
//! No rule of the API server may fail to be worked out, whatever an older schema has let in: it forgives an unchanged object what
//! a rule or a pattern says of it, and never an error in a rule. Such an object could not be released any more.

mod check;
mod class;
mod duration;
mod status;
mod written;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
/// What a resource has beside its spec and status: its names, uid and versions, whoever keeps it.
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta as Metadata;
use kube::{CustomResource, CustomResourceExt as _, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CertificateSubject;
use crate::host_api::KeyRequest;
pub use crate::host_api::{OnUnreadable, RotationState, StoreFormat};
pub use check::{HostUrl, HostUrlError, SpecError};
pub use class::{Class, Procedure, PushSpec, RepairSpec};
pub use duration::{DurationError, GoDuration};
pub use status::{
    BlockedBy, Condition, HISTORY_LIMIT, HistoryEntry, LeafStatus, ManagedAgentCertificateStatus, Outcome,
    RotationStatus, RotationTrigger, SIGNED_LIMIT, SignedLeaf, Time,
};
use written::WrittenSpec;

/// The API group.
pub const GROUP: &str = "kagiban.dev";
/// A new value of this annotation rotates once.
pub const ROTATE_ANNOTATION: &str = "kagiban.dev/rotate";
/// Says of a resource that a person has paused it with a command. Only an operator without a cluster writes it, and it takes it from no
/// manifest.
pub const PAUSED_BY_HAND_ANNOTATION: &str = "kagiban.dev/paused-by-hand";
/// The label by which a Secret says what the operator may use it for.
pub const PURPOSE_LABEL: &str = "kagiban.dev/purpose";
/// The annotation by which a Secret says for which hosts, or for which names, it may be used.
pub const ALLOWED_HOSTS_ANNOTATION: &str = "kagiban.dev/allowed-hosts";
/// The annotation by which an issuer or a password says by which client Secrets its contents may travel.
pub const ALLOWED_CLIENTS_ANNOTATION: &str = "kagiban.dev/allowed-clients";
/// Held while a rotation may be in flight, so that deleting the resource never leaves a host half-way.
pub const FINALIZER: &str = "kagiban.dev/rotation";

/// The certificate of one vendor agent on one fleet host.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kagiban.dev",
    version = "v1alpha1",
    kind = "ManagedAgentCertificate",
    plural = "managedagentcertificates",
    singular = "managedagentcertificate",
    shortname = "mac",
    category = "kagiban",
    namespaced,
    status = "ManagedAgentCertificateStatus",
    derive = "PartialEq",
    doc = "The certificate of one vendor agent on one fleet host: issued, rotated on the host, and verified on the live TLS endpoint.",
    selectable = ".spec.host",
    selectable = ".spec.agent.product",
    selectable = ".spec.issuerRef.name",
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.host"),
    printcolumn(name = "Product", type_ = "string", json_path = ".spec.agent.product"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.leaf.notAfter", description = "notAfter of the leaf that was verified on the live endpoint"),
    printcolumn(name = "Next-Rotation", type_ = "string", json_path = ".status.renewalTime"),
    printcolumn(name = "Blocked-By", type_ = "string", json_path = ".status.blockedBy"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "Leaf", type_ = "string", json_path = ".status.leaf.sha256", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("oldSelf.hasValue() || self.metadata.name.size() <= 63").optional_old_self(true).message("metadata.name: at most 63 characters, so that it can be a label value")
)]
#[serde(try_from = "WrittenSpec", into = "WrittenSpec")]
pub struct ManagedAgentCertificateSpec {
    /// The fleet host, by the name its own configuration gives it.
    pub host: String,
    pub agent: AgentRef,
    pub api: AgentApi,
    /// By the product's class.
    pub procedure: Procedure,
    pub rotation: RotationSpec,
}

/// The CRD. Until the operator has written a status, one stands there that says so: kstatus takes an object without a status
/// for one that is as it should be.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = ManagedAgentCertificate::crd();
    let schemas =
        crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    for schema in schemas {
        if let Some(status) = schema.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": UNOBSERVED})));
        }
    }
    crd
}

/// The `observedGeneration` of what the operator has not looked at yet.
const UNOBSERVED: i64 = -1;

/// Which agent of that host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentRef {
    pub product: Product,
    /// The agent's name in the host's own configuration.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

/// What kind of agent it is; each has its own way of taking a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    PowerchuteSerialShutdown,
    TlsService,
    PowerchuteBusinessEdition,
    SelfRenewingService,
    VirusBusterCorp,
    ApexOne,
    Skysea,
}

impl Product {
    pub const ALL: [Self; 7] = [
        Self::PowerchuteSerialShutdown,
        Self::TlsService,
        Self::PowerchuteBusinessEdition,
        Self::SelfRenewingService,
        Self::VirusBusterCorp,
        Self::ApexOne,
        Self::Skysea,
    ];

    /// The id that the host API uses too.
    pub const fn id(self) -> &'static str {
        match self {
            Self::PowerchuteSerialShutdown => "powerchute-serial-shutdown",
            Self::TlsService => "tls-service",
            Self::PowerchuteBusinessEdition => "powerchute-business-edition",
            Self::SelfRenewingService => "self-renewing-service",
            Self::VirusBusterCorp => "virus-buster-corp",
            Self::ApexOne => "apex-one",
            Self::Skysea => "skysea",
        }
    }

    /// What it takes from us.
    pub const fn class(self) -> Class {
        match self {
            Self::PowerchuteSerialShutdown | Self::TlsService => Class::Push,
            Self::PowerchuteBusinessEdition | Self::SelfRenewingService | Self::VirusBusterCorp | Self::ApexOne => {
                Class::Trigger
            }
            Self::Skysea => Class::Observe,
        }
    }
}

/// How the agent is reached: exactly one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.hostApi)].filter(x, x).size() == 1").message("exactly one API must be set: hostApi"))]
pub struct AgentApi {
    /// The kagiban-exporter on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_api: Option<HostApiRef>,
}

/// Where the host API listens and how the operator proves who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.url) || !self.url.matches('^https://[[][0-9a-f:.]{2,45}[]]') || (isIP(self.url.substring(9, self.url.indexOf(']'))) && ip(self.url.substring(9, self.url.indexOf(']'))).family() == 6)").message("url: what stands in brackets must be an IPv6 address").field_path(".url"),
    validation = Rule::new("!has(self.url) || !self.url.matches('^https://([^:]*[.])?[0-9]+(:[0-9]+)?$') || self.url.matches('^https://((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(:[0-9]+)?$')").message("url: a host that ends in a number must be an IP address").field_path(".url"),
    validation = Rule::new("!has(self.url) || !self.url.matches(':[0-9]{1,5}$') || (int(self.url.substring(self.url.lastIndexOf(':') + 1)) >= 1 && int(self.url.substring(self.url.lastIndexOf(':') + 1)) <= 65535)").message("url: the port must be 1 to 65535").field_path(".url")
)]
pub struct HostApiRef {
    /// `https://host:port`, nothing after it.
    #[schemars(
        length(min = 9, max = 300),
        regex(
            pattern = r"^https://([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?$"
        )
    )]
    pub url: String,
    /// A Secret of type `kubernetes.io/tls` with the client certificate, and `ca.crt` that the host's certificate chains to.
    pub tls_secret_ref: SecretRef,
}

/// A Secret in the resource's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The name of the Secret.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
}

/// One key of a Secret in the resource's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The name of the Secret.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// Under which key of its data the password stands.
    #[serde(default = "default_password_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// What the certificate says and how long it lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.renewBefore) && has(self.renewBeforePercentage))").message("renewBefore and renewBeforePercentage exclude each other"),
    validation = Rule::new(format!("!has(self.renewBefore) || !{} || !{} || duration(self.renewBefore) < duration(self.duration)", duration::is_in_cel("self.renewBefore"), duration::is_in_cel("self.duration"))).message("renewBefore must be less than duration").field_path(".renewBefore"),
    validation = Rule::new(format!("!has(self.renewBefore) || !{} || duration(self.renewBefore) >= duration('5m')", duration::is_in_cel("self.renewBefore"))).message("renewBefore must be at least 5m").field_path(".renewBefore"),
    validation = Rule::new(format!("!{} || duration(self.duration) >= duration('1h')", duration::is_in_cel("self.duration"))).message("duration must be at least 1h").field_path(".duration"),
    validation = Rule::new("!has(self.dnsNames) || self.dnsNames.all(n, !n.startsWith('*.') || n.matches('^[*][.][^.]+[.].+$'))").message("dnsNames: a wildcard needs at least two labels after it, such as *.example.com").field_path(".dnsNames"),
    validation = Rule::new("!has(self.dnsNames) || self.dnsNames.all(n, !n.matches('(^|[.])[0-9]+$'))").message("dnsNames: an address is no name; it belongs in ipAddresses").field_path(".dnsNames"),
    validation = Rule::new("!has(self.dnsNames) || self.dnsNames.all(n, self.dnsNames.exists_one(m, m == n))").message("dnsNames: a name stands there twice").field_path(".dnsNames"),
    validation = Rule::new("!has(self.ipAddresses) || self.ipAddresses.all(a, isIP(a))").message("ipAddresses: each must be an IP address").field_path(".ipAddresses"),
    validation = Rule::new("!has(self.ipAddresses) || self.ipAddresses.all(a, !isIP(a) || self.ipAddresses.exists_one(b, isIP(b) && ip(a) == ip(b)))").message("ipAddresses: an address stands there twice").field_path(".ipAddresses")
)]
pub struct CertificateSpec {
    /// Subject alternative names; the first is also the common name when it fits in 64 characters.
    #[schemars(
        length(min = 1, max = 32),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$")
        )
    )]
    pub dns_names: Vec<String>,
    /// Addresses among the subject alternative names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 2, max = 45)))]
    pub ip_addresses: Vec<String>,
    /// What the subject says beside the common name, for a CA whose policy asks for it: at most one of each.
    #[serde(default, skip_serializing_if = "CertificateSubject::is_empty")]
    pub subject: CertificateSubject,
    /// How long a certificate lives, such as `2160h`.
    #[serde(default = "default_duration")]
    pub duration: GoDuration,
    /// How long before notAfter a new one is asked for; by default a third of the duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<GoDuration>,
    /// The same, as a percentage of the certificate's lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 90))]
    pub renew_before_percentage: Option<u8>,
    #[serde(default)]
    pub private_key: PrivateKeySpec,
}

/// When an agent that renews its own certificate is told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.renewBefore) && has(self.renewBeforePercentage))").message("renewBefore and renewBeforePercentage exclude each other"),
    validation = Rule::new(format!("!has(self.renewBefore) || !{} || duration(self.renewBefore) >= duration('5m')", duration::is_in_cel("self.renewBefore"))).message("renewBefore must be at least 5m").field_path(".renewBefore")
)]
pub struct RenewalSpec {
    /// How long before notAfter of the certificate that is served; by default, and where the certificate does not live that long, a
    /// third of its lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<GoDuration>,
    /// The same, as a percentage of that lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 90))]
    pub renew_before_percentage: Option<u8>,
}

/// The private key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.size) || (self.algorithm == 'RSA' ? self.size in [2048, 3072, 4096] : self.size in [256, 384])").message("size: 2048, 3072 or 4096 for RSA, 256 or 384 for ECDSA").field_path(".size"))]
pub struct PrivateKeySpec {
    /// What kind of key it is.
    #[serde(default)]
    pub algorithm: KeyAlgorithm,
    /// Bits. By default 2048 for RSA and 256 for ECDSA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub size: Option<u16>,
    #[serde(default)]
    pub custody: Custody,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyAlgorithm {
    #[default]
    #[serde(rename = "RSA")]
    Rsa,
    #[serde(rename = "ECDSA")]
    Ecdsa,
}

/// Who makes the key and keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Custody {
    /// Made on the host, never leaves it.
    #[default]
    Host,
}

/// Who signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// What kind of issuer it is. `CASecret` is a Secret with a CA, for which the operator signs by itself.
    #[serde(default)]
    pub kind: IssuerKind,
    /// For `CASecret`: a Secret of type `kubernetes.io/tls` with the CA's certificate and key.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IssuerKind {
    #[default]
    #[serde(rename = "CASecret")]
    CaSecret,
}

impl IssuerKind {
    /// As the resource writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CaSecret => "CASecret",
        }
    }
}

/// How the keystore is written on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(r"!has(self.alias) || !self.alias.matches(r'[\x00-\x1f\x7f-\x{9f}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}]')").message("alias: no control characters and no line ends").field_path(".alias"),
    validation = Rule::new("!has(self.alias) || !has(self.format) || self.format != 'PEM'").message("alias: PEM has no aliases").field_path(".alias")
)]
pub struct KeystoreSpec {
    #[serde(default)]
    pub format: StoreFormat,
    /// The alias of the agent's key; by default the product's, such as `securekey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub alias: Option<String>,
    /// The store's password from now on; by default the host's own password file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// What to do with an old PKCS#12 store that no known password opens.
    #[serde(default)]
    pub on_unreadable: OnUnreadable,
}

/// How rotations go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationSpec {
    /// No rotation is started; one in flight is finished.
    #[serde(default)]
    pub paused: bool,
    #[serde(default)]
    pub near_expiry: NearExpiry,
}

/// Which risk wins when the certificate is about to expire and the power state forbids a rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NearExpiry {
    /// Wait, and ask a person by condition, event and metric.
    #[default]
    Ask,
    /// Wait, whatever happens to the certificate.
    Wait,
}

impl PrivateKeySpec {
    /// The key that a host is asked to make; nothing for a size that the schema would have refused.
    pub const fn request(self) -> Option<KeyRequest> {
        match (self.algorithm, self.bits()) {
            (KeyAlgorithm::Rsa, 2048) => Some(KeyRequest::Rsa2048),
            (KeyAlgorithm::Rsa, 3072) => Some(KeyRequest::Rsa3072),
            (KeyAlgorithm::Rsa, 4096) => Some(KeyRequest::Rsa4096),
            (KeyAlgorithm::Ecdsa, 256) => Some(KeyRequest::EcdsaP256),
            (KeyAlgorithm::Ecdsa, 384) => Some(KeyRequest::EcdsaP384),
            (KeyAlgorithm::Rsa | KeyAlgorithm::Ecdsa, _) => None,
        }
    }
}

fn default_password_key() -> String {
    "password".to_owned()
}

fn default_duration() -> GoDuration {
    GoDuration::from_hours(2160)
}
