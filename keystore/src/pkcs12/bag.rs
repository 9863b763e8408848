//! Bags: what a safe holds. Each is known by its own bytes, so that it can be kept as it is.

use super::{oid, open::OpenSafe};
use crate::{
    Certificate, Fault, Limits, ReadError,
    der::{self, Element},
};

/// How deep safes may lie in safes. Nobody was seen to write more than two.
const MAX_DEPTH: usize = 8;

/// A bag, its content not yet opened.
#[derive(Clone, Debug)]
pub(crate) struct Bag<'a> {
    pub(crate) kind: BagKind<'a>,
    /// As the file has it.
    pub(crate) friendly_name: Option<String>,
    /// As the file has it.
    pub(crate) local_key_id: Option<&'a [u8]>,
    /// The alias that Java gives it: the friendly name, or a number where an entry has none.
    pub(crate) alias: Option<String>,
    /// The id by which Java pairs it: the local key id, or one that Java makes up.
    pub(crate) key_id: Option<&'a [u8]>,
    /// Its place in its safe, counted from 0; none for what lies deeper, which Java does not look at.
    pub(crate) place: Option<usize>,
    /// Whether it is a key that Java passes over.
    pub(crate) unseen_by_java: bool,
    /// Whether the safe that holds it is encrypted.
    pub(crate) hidden: bool,
    /// All of it.
    pub(crate) raw: &'a [u8],
    /// The SET of attributes, all of it; empty when there is none.
    pub(crate) attributes: &'a [u8],
}

#[derive(Clone)]
pub(crate) enum BagKind<'a> {
    /// A bare `PrivateKeyInfo`.
    Key(&'a [u8]),
    /// An `EncryptedPrivateKeyInfo`.
    SealedKey(&'a [u8]),
    Certificate {
        certificate: Certificate,
        trusted: bool,
    },
    /// A secret; as Java writes it, with the `EncryptedPrivateKeyInfo` it holds.
    Secret {
        sealed: Option<&'a [u8]>,
    },
    /// A safe within the safe.
    Nested(&'a [u8]),
    /// CRLs, certificates that are not X.509 and what else there may be.
    Other,
}

/// The bags of a store, nested ones behind the one that holds them, and those that cannot be read.
#[derive(Debug, Default)]
pub(super) struct SafeContents<'a> {
    pub(super) bags: Vec<Bag<'a>>,
    pub(super) faults: Vec<Fault>,
}

impl std::fmt::Debug for BagKind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key",
            Self::SealedKey(_) => "SealedKey",
            Self::Certificate { .. } => "Certificate",
            Self::Secret { .. } => "Secret",
            Self::Nested(_) => "Nested",
            Self::Other => "Other",
        })
    }
}

impl<'a> Bag<'a> {
    /// The bags of one safe for who writes it anew: one that cannot be read is an error, and so is a defect of a
    /// certificate. What a nested safe holds stays inside it.
    pub(crate) fn parse_all(safe: &'a OpenSafe, limits: &Limits) -> Result<Vec<Self>, ReadError> {
        let mut reader = der::Reader::new(&safe.content).expect(der::SEQUENCE)?.inside();
        let mut bags = Vec::new();
        while !reader.is_empty() {
            limits.check_entries(bags.len() + 1)?;
            let (bag, unread) = Self::parse(&reader.expect(der::SEQUENCE)?, safe.encrypted, limits)?;
            if let Some(cause) = unread {
                return Err(cause);
            }
            if let BagKind::Certificate { certificate, .. } = &bag.kind {
                certificate.check_whole()?;
            }
            bags.push(Self { place: Some(bags.len()), ..bag });
        }
        Ok(bags)
    }

    /// The bag, and which of its attributes cannot be read.
    fn parse(element: &Element<'a>, hidden: bool, limits: &Limits) -> Result<(Self, Option<ReadError>), ReadError> {
        let mut fields = element.inside();
        let id = fields.expect(der::OID)?.value;
        let value = fields.expect(der::context(0))?.value;
        let set = fields.optional(der::SET)?;
        let (attributes, unread) = Attributes::parse(set.as_ref(), limits);
        let kind = match id {
            oid::KEY_BAG => BagKind::Key(value),
            oid::SHROUDED_KEY_BAG => BagKind::SealedKey(value),
            oid::CERT_BAG => certificate(value, attributes.trusted, limits)?,
            oid::SECRET_BAG => BagKind::Secret { sealed: secret(value) },
            oid::SAFE_CONTENTS_BAG => BagKind::Nested(value),
            _ => BagKind::Other,
        };
        let bag = Self {
            kind,
            alias: attributes.friendly_name.clone(),
            key_id: attributes.local_key_id,
            place: None,
            unseen_by_java: false,
            friendly_name: attributes.friendly_name,
            local_key_id: attributes.local_key_id,
            hidden,
            raw: element.raw,
            attributes: set.map(|set| set.raw).unwrap_or_default(),
        };
        Ok((bag, unread))
    }

    /// Whether it is an entry that a name finds; other certificates are parts of chains.
    pub(crate) fn is_entry(&self) -> bool {
        match self.kind {
            BagKind::Key(_) | BagKind::SealedKey(_) | BagKind::Secret { .. } => true,
            BagKind::Certificate { trusted, .. } => trusted,
            BagKind::Nested(_) | BagKind::Other => false,
        }
    }
}

impl Bag<'_> {
    /// Whether something in a safe within the safe is sealed by a password, or may be, since not all of it can be read.
    pub(super) fn holds_sealed(&self, limits: &Limits) -> bool {
        let BagKind::Nested(contents) = self.kind else { return false };
        let mut found = SafeContents::default();
        let is_read = found.add(contents, self.hidden, "", MAX_DEPTH, limits).is_ok() && found.faults.is_empty();
        let is_sealed = |bag: &Bag<'_>| matches!(bag.kind, BagKind::SealedKey(_) | BagKind::Secret { .. });
        !is_read || found.bags.iter().any(is_sealed)
    }
}

impl<'a> SafeContents<'a> {
    /// Adds the bags of one safe, and what cannot be read of it.
    pub(super) fn add_safe(&mut self, safe: &'a OpenSafe, limits: &Limits) -> Result<(), ReadError> {
        self.add(&safe.content, safe.encrypted, &format!("safe {}", safe.number), MAX_DEPTH, limits)
    }

    /// Fails only where there are too many bags.
    fn add(
        &mut self,
        contents: &'a [u8],
        hidden: bool,
        place: &str,
        depth: usize,
        limits: &Limits,
    ) -> Result<(), ReadError> {
        let Some(depth) = depth.checked_sub(1) else {
            let cause = ReadError::TooLarge { what: "the nested safes", limit: MAX_DEPTH };
            self.faults.push(Fault { place: place.to_owned(), cause });
            return Ok(());
        };
        let mut bags = match der::Reader::new(contents).expect(der::SEQUENCE) {
            Ok(contents) => contents.inside(),
            Err(cause) => {
                self.faults.push(Fault { place: place.to_owned(), cause });
                return Ok(());
            }
        };
        let mut number = 0;
        while !bags.is_empty() {
            number += 1;
            limits.check_entries(self.bags.len() + self.faults.len() + 1)?;
            let here = || format!("bag {number} of {place}");
            let element = match bags.element() {
                Ok(element) => element,
                // Where this one ends, and the next begins, cannot be told.
                Err(cause) => {
                    self.faults.push(Fault { place: here(), cause });
                    break;
                }
            };
            match Bag::parse(&element, hidden, limits) {
                Ok((bag, unread)) => {
                    if let Some(cause) = unread {
                        self.faults.push(Fault { place: format!("the name of {}", here()), cause });
                    }
                    let nested = match bag.kind {
                        BagKind::Nested(contents) => Some(contents),
                        _ => None,
                    };
                    let place = (depth + 1 == MAX_DEPTH).then_some(number - 1);
                    self.bags.push(Bag { place, ..bag });
                    if let Some(contents) = nested {
                        self.add(contents, hidden, &here(), depth, limits)?;
                    }
                }
                Err(cause) => self.faults.push(Fault { place: here(), cause }),
            }
        }
        Ok(())
    }
}

/// The bag (`raw`, all of it) with the alias and the key id that Java gives it written down, so that neither depends on its
/// place in the store any more.
pub(super) fn with_java_names(bag: &Bag<'_>, raw: &[u8]) -> Result<Vec<u8>, ReadError> {
    let mut fields = der::Reader::new(raw).expect(der::SEQUENCE)?.inside();
    let (id, value) = (fields.expect(der::OID)?.raw, fields.expect(der::context(0))?.raw);
    let mut each = Vec::new();
    if let Some(set) = fields.optional(der::SET)? {
        let mut set = set.inside();
        while !set.is_empty() {
            each.push(set.expect(der::SEQUENCE)?.raw.to_vec());
        }
    }
    if let (None, Some(alias)) = (&bag.friendly_name, &bag.alias) {
        each.push(friendly_name(alias));
    }
    if let (None, Some(key_id)) = (bag.local_key_id, bag.key_id) {
        each.push(local_key(key_id));
    }
    Ok(der::encode(der::SEQUENCE, &[id, value, &attributes(&each)]))
}

/// The same bag around another sealed key.
pub(super) fn sealed_again(bag: &Bag<'_>, sealed: &[u8]) -> Vec<u8> {
    match bag.kind {
        BagKind::Secret { .. } => {
            let key_type = der::encode(der::OID, &[oid::SHROUDED_KEY_BAG]);
            let octets = der::encode(der::OCTET_STRING, &[sealed]);
            let value = der::encode(der::SEQUENCE, &[&key_type, &der::encode(der::context(0), &[&octets])]);
            encode(oid::SECRET_BAG, &value, bag.attributes)
        }
        _ => encode(oid::SHROUDED_KEY_BAG, sealed, bag.attributes),
    }
}

/// A bag with a sealed key that its certificate finds by `local_key_id`.
pub(super) fn sealed_key(sealed: &[u8], alias: &str, local_key_id: &[u8]) -> Vec<u8> {
    encode(oid::SHROUDED_KEY_BAG, sealed, &attributes(&[friendly_name(alias), local_key(local_key_id)]))
}

/// The leaf that belongs to the key of that `local_key_id`.
pub(super) fn leaf(certificate: &Certificate, alias: &str, local_key_id: &[u8]) -> Vec<u8> {
    certificate_bag(certificate, &attributes(&[friendly_name(alias), local_key(local_key_id)]))
}

/// A certificate of a chain, found by its name.
pub(super) fn issuer(certificate: &Certificate) -> Vec<u8> {
    certificate_bag(certificate, &[])
}

/// A certificate that Java trusts.
pub(super) fn trusted(certificate: &Certificate, alias: &str) -> Vec<u8> {
    let usage = attribute(oid::TRUSTED_KEY_USAGE, &der::encode(der::OID, &[oid::ANY_EXTENDED_KEY_USAGE]));
    certificate_bag(certificate, &attributes(&[friendly_name(alias), usage]))
}

fn certificate_bag(certificate: &Certificate, attributes: &[u8]) -> Vec<u8> {
    let octets = der::encode(der::OCTET_STRING, &[certificate.der()]);
    let id = der::encode(der::OID, &[oid::X509_CERTIFICATE]);
    let value = der::encode(der::SEQUENCE, &[&id, &der::encode(der::context(0), &[&octets])]);
    encode(oid::CERT_BAG, &value, attributes)
}

fn encode(id: &[u8], value: &[u8], attributes: &[u8]) -> Vec<u8> {
    let parts = [&der::encode(der::OID, &[id]), &der::encode(der::context(0), &[value]), attributes];
    der::encode(der::SEQUENCE, &parts)
}

fn attributes(each: &[Vec<u8>]) -> Vec<u8> {
    let mut sorted: Vec<&[u8]> = each.iter().map(Vec::as_slice).collect();
    // DER wants the members of a SET OF in the order of their bytes.
    sorted.sort_unstable();
    der::encode(der::SET, &sorted)
}

fn attribute(id: &[u8], value: &[u8]) -> Vec<u8> {
    der::encode(der::SEQUENCE, &[&der::encode(der::OID, &[id]), &der::encode(der::SET, &[value])])
}

fn friendly_name(alias: &str) -> Vec<u8> {
    let utf16: Vec<u8> = alias.encode_utf16().flat_map(u16::to_be_bytes).collect();
    attribute(oid::FRIENDLY_NAME, &der::encode(der::BMP_STRING, &[&utf16]))
}

fn local_key(id: &[u8]) -> Vec<u8> {
    attribute(oid::LOCAL_KEY_ID, &der::encode(der::OCTET_STRING, &[id]))
}

fn certificate<'a>(value: &'a [u8], trusted: bool, limits: &Limits) -> Result<BagKind<'a>, ReadError> {
    let mut fields = der::Reader::new(value).expect(der::SEQUENCE)?.inside();
    if fields.expect(der::OID)?.value != oid::X509_CERTIFICATE {
        return Ok(BagKind::Other);
    }
    let der = fields.expect(der::context(0))?.inside().expect(der::OCTET_STRING)?.value;
    limits.check_certificate(der)?;
    Ok(BagKind::Certificate { certificate: Certificate::observe(der)?, trusted })
}

/// The sealed key inside a secret bag, if it is one that Java wrote.
fn secret(value: &[u8]) -> Option<&[u8]> {
    let mut fields = der::Reader::new(value).expect(der::SEQUENCE).ok()?.inside();
    if fields.expect(der::OID).ok()?.value != oid::SHROUDED_KEY_BAG {
        return None;
    }
    Some(fields.expect(der::context(0)).ok()?.inside().expect(der::OCTET_STRING).ok()?.value)
}

#[derive(Default)]
struct Attributes<'a> {
    friendly_name: Option<String>,
    local_key_id: Option<&'a [u8]>,
    trusted: bool,
}

impl<'a> Attributes<'a> {
    /// What can be read of them, and why the rest cannot.
    fn parse(set: Option<&Element<'a>>, limits: &Limits) -> (Self, Option<ReadError>) {
        let (mut found, mut unread) = (Self::default(), None);
        let mut reader = set.map_or(der::Reader::new(&[]), Element::inside);
        while !reader.is_empty() {
            match reader.element() {
                Ok(attribute) => {
                    if let Err(error) = found.read(&attribute, limits) {
                        unread.get_or_insert(error);
                    }
                }
                Err(error) => {
                    unread.get_or_insert(error);
                    break;
                }
            }
        }
        (found, unread)
    }

    fn read(&mut self, attribute: &Element<'a>, limits: &Limits) -> Result<(), ReadError> {
        let mut attribute = der::Reader::new(attribute.raw).expect(der::SEQUENCE)?.inside();
        let id = attribute.expect(der::OID)?.value;
        let mut values = attribute.expect(der::SET)?.inside();
        match id {
            oid::FRIENDLY_NAME if !values.is_empty() => {
                let name = values.expect(der::BMP_STRING)?.value;
                limits.check_alias(name.len())?;
                self.friendly_name = Some(utf16(name));
            }
            oid::LOCAL_KEY_ID if !values.is_empty() => {
                self.local_key_id = Some(values.expect(der::OCTET_STRING)?.value);
            }
            oid::TRUSTED_KEY_USAGE => self.trusted = true,
            _ => {}
        }
        Ok(())
    }
}

fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).map(|symbol| symbol.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}
