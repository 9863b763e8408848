//! Which guides there are.

use crate::guide::Guide;

/// One for each vendor's notice that names more than the end of a certificate.
pub const GUIDES: &[&Guide] = &[
    &crate::powerchute_serial_shutdown::GUIDE,
    &crate::apex_one::GUIDE,
    &crate::virus_buster_corp::GUIDE,
    &crate::skysea::GUIDE,
];

/// That of a product, by its id.
pub fn guide(id: &str) -> Option<&'static Guide> {
    GUIDES.iter().copied().find(|guide| guide.id == id)
}
