//! The parsers of what comes from outside, for fuzz targets: any bytes, and no panic.

/// A status page of the PowerChute web UI.
pub fn web_page(bytes: &[u8]) {
    let _ = crate::sources::read_page(bytes);
}
