//! What was found out about an agent, before anybody judges it.

use kagiban_agents::Hardening;

use super::JavaVersion;
use crate::label::Label;
use crate::trouble::Trouble;

/// Each fact, or why it is not known.
#[derive(Clone, Debug)]
pub struct HardeningFacts {
    /// The leaf that the agent serves.
    pub served: Result<LeafMarks, Trouble>,
    /// The leaf under the agent's alias in its keystore.
    pub stored: Result<LeafMarks, Trouble>,
    pub store_password: Result<StorePassword, Trouble>,
    /// Whether the trust store of its Java opens with the password that every Java is delivered with.
    pub cacerts_open_by_default: Result<bool, Trouble>,
    pub jre: Result<Writers, Trouble>,
    pub install: Result<Writers, Trouble>,
    pub command_files: Result<Writers, Trouble>,
    pub java: Result<JavaVersion, Trouble>,
    /// The oldest that will do; absent where nobody has said.
    pub minimum_java: Option<JavaVersion>,
    /// Files without which the agent no longer starts, and that are not there.
    pub missing: Result<Vec<&'static str>, Trouble>,
    /// A file of the installation with secrets in the clear.
    pub left_behind: Result<Option<Label>, Trouble>,
    pub jars: Result<JarsSeen, Trouble>,
    /// The TLS version before 1.2 that it speaks, if it does.
    pub old_tls: Result<Option<&'static str>, Trouble>,
    pub snmp: Result<SnmpSeen, Trouble>,
}

/// What tells a factory's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafMarks {
    pub self_issued: bool,
    pub key: String,
    pub signature: String,
}

/// What the store's password is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorePassword {
    /// The one that Java's stores are delivered with.
    Default,
    /// Another one, which was told and opens the store.
    Own,
    /// One was told, and it does not open the store.
    Mismatch,
    /// None was told.
    NotTold,
}

/// Who may write a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writers {
    Administrators,
    /// Others may write this in it, at least.
    Others(Label),
    /// There is more in it than is looked at, and of what was, others may write nothing.
    Unfinished,
}

/// What the signatures of the agent's JARs say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JarsSeen {
    pub count: usize,
    /// Of the first with which something is wrong.
    pub amiss: Option<JarAmiss>,
}

/// What is wrong with a JAR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JarAmiss {
    /// It is not as it was signed, or nobody has signed it.
    NotWhole(Label),
    /// It is signed by another than those before it: the vendor signs all of them.
    OtherSigner(Label),
}

/// What the agent said on its SNMP port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnmpSeen {
    /// Whether it answered v1; absent where no community is configured to ask with.
    pub v1: Option<bool>,
    /// Whether it answers v3 at all.
    pub v3: bool,
    /// Whether it gave the configured user an answer without authentication.
    pub v3_open: bool,
    /// Whether the configured user can speak with SHA-2 and AES; absent where no passwords are configured.
    pub v3_strong: Option<bool>,
    /// Whether the configured user was given an answer with MD5, SHA-1 or DES.
    pub v3_weak: bool,
}

impl LeafMarks {
    /// Whether it is as the agent makes it for itself.
    pub(super) fn is_factory(&self, product: &Hardening) -> bool {
        self.self_issued && self.key == product.factory_key && self.signature == product.factory_signature
    }
}
