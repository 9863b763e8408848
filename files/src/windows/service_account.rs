//! The account of a service, beside administrators: what such a service keeps is its own and administrators', whoever of them looks.

use std::fmt::Write;
use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

static TRUSTED: OnceLock<String> = OnceLock::new();

/// Has the account `NT SERVICE\NAME` counted among administrators, and let into the directories that this program makes, from now on. Nobody
/// acts as it but the service of that name, which administrators register. Of several calls the first counts.
pub fn trust_service_account(name: &str) {
    let _ = TRUSTED.set(sid_of_service(name));
}

/// The account that is trusted so, if one is.
pub(super) fn trusted_service() -> Option<&'static str> {
    TRUSTED.get().map(String::as_str)
}

/// Windows makes the identifier of the service's name, whether there is such a service or not: of the SHA-1 of the name in capitals, five
/// numbers.
fn sid_of_service(name: &str) -> String {
    let units: Vec<u8> = name.to_uppercase().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &units);
    digest.as_ref().chunks_exact(4).fold("S-1-5-80".to_owned(), |mut sid, part| {
        let number = part.iter().rev().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        let _ = write!(sid, "-{number}");
        sid
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published ones.
    #[test]
    fn the_account_of_a_service_is_known_by_its_name() {
        const INSTALLER: &str = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
        assert_eq!(sid_of_service("TrustedInstaller"), INSTALLER);
        assert_eq!(sid_of_service("trustedinstaller"), INSTALLER);
        assert_ne!(sid_of_service("kagiban-operator"), sid_of_service("kagiban-exporter"));
    }
}
