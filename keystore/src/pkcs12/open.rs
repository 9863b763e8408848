//! Opens a PKCS#12: checks its MAC, decrypts its safes. Keys in their bags stay sealed.

use super::{
    kdf::Password,
    mac::Mac,
    pfx::{self, Safe},
    scheme::Scheme,
};
use crate::{Fault, Limits, Pkcs12Profile, ReadError, ber, der, limits::Budget};
use secrecy::SecretString;
use std::borrow::Cow;
use zeroize::Zeroizing;

/// A PKCS#12 with its safes in the clear.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) safes: Vec<OpenSafe>,
    /// The safes that are encrypted in a way that is not read here, and those in the clear that are damaged.
    pub(crate) faults: Vec<Fault>,
    /// The profile that encryption and MAC are of; `None` when there is neither.
    pub(crate) profile: Option<Pkcs12Profile>,
    pub(crate) has_mac: bool,
    pub(crate) password: Proof,
}

/// What is known about the password.
#[derive(Debug)]
pub(crate) enum Proof {
    /// MAC or encryption agreed with it.
    Agrees(Password),
    /// The MAC did not; nothing was encrypted.
    Disagrees,
    /// There was nothing to hold it against outside the bags, or there was none.
    Unproven,
}

#[derive(Debug)]
pub(crate) struct OpenSafe {
    /// Among the safes of the file, from one.
    pub(crate) number: usize,
    pub(crate) encrypted: bool,
    /// `SafeContents`, DER. It may hold bare keys.
    pub(crate) content: Zeroizing<Vec<u8>>,
}

/// Opens the store. All rounds are counted against the budget before the first is computed.
pub(crate) fn open(
    bytes: &[u8],
    password: Option<&SecretString>,
    limits: &Limits,
    budget: &mut Budget,
) -> Result<Opened, ReadError> {
    let bytes = ber::to_der(bytes)?;
    let pfx = pfx::parse(&bytes)?;
    let authenticated = ber::to_der(&pfx.authenticated)?;
    let (safes, mut faults) = pfx::safes(&authenticated, limits)?;

    let schemes = || {
        safes.iter().filter_map(|(_, safe)| match safe {
            Safe::Encrypted { scheme, .. } => Some(scheme),
            Safe::Clear(_) => None,
        })
    };
    for iterations in pfx.mac.iter().map(Mac::iterations).chain(schemes().map(Scheme::iterations)) {
        budget.spend(iterations)?;
    }
    let profile = schemes().map(Scheme::profile).next().or(pfx.mac.as_ref().map(Mac::profile));
    let is_encrypted = schemes().next().is_some();
    let has_mac = pfx.mac.is_some();

    let Some(password) = password else {
        return match is_encrypted {
            true => Err(ReadError::PasswordNeeded),
            false => {
                let safes = contents(safes, None, &mut faults)?;
                Ok(Opened { safes, faults, profile, has_mac, password: Proof::Unproven })
            }
        };
    };
    let agreed = match &pfx.mac {
        Some(mac) => {
            let readings = Password::readings(password);
            readings.into_iter().find(|password| mac.agrees_with(password, &pfx.authenticated))
        }
        None if is_encrypted => Some(Password::new(password)),
        None => None,
    };
    let safes = match &agreed {
        None if is_encrypted => return Err(ReadError::BadPassword),
        agreed => contents(safes, agreed.as_ref(), &mut faults)?,
    };
    let password = match agreed {
        Some(password) => Proof::Agrees(password),
        None if has_mac => Proof::Disagrees,
        None => Proof::Unproven,
    };
    Ok(Opened { safes, faults, profile, has_mac, password })
}

/// The safes in the clear. An encrypted one that does not open was not the password's to open, and ends it for all.
fn contents(
    safes: Vec<(usize, Safe<'_>)>,
    password: Option<&Password>,
    faults: &mut Vec<Fault>,
) -> Result<Vec<OpenSafe>, ReadError> {
    let mut open = Vec::with_capacity(safes.len());
    for (number, safe) in safes {
        match safe {
            Safe::Clear(content) => match in_der(Zeroizing::new(content.into_owned())) {
                Ok(content) => open.push(OpenSafe { number, encrypted: false, content }),
                Err(cause) => faults.push(Fault { place: format!("safe {number}"), cause }),
            },
            Safe::Encrypted { scheme, content } => {
                let content = scheme.decrypt(&content, password.ok_or(ReadError::PasswordNeeded)?)?;
                let content = in_der(content).map_err(|_| ReadError::BadPassword)?;
                // A wrong password passes for padding once in 256 times: the content has to look like a safe's too.
                if der::Reader::new(&content).expect(der::SEQUENCE).is_err() {
                    return Err(ReadError::BadPassword);
                }
                open.push(OpenSafe { number, encrypted: true, content });
            }
        }
    }
    Ok(open)
}

fn in_der(content: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    Ok(match ber::to_der(&content)? {
        Cow::Owned(der) => Zeroizing::new(der),
        Cow::Borrowed(_) => content,
    })
}
