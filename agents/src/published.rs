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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::product::Product;

    #[test]
    fn a_product_is_looked_for_where_its_notice_says_that_it_is_installed() {
        let guides = GUIDES.iter().filter(|guide| !guide.directories.is_empty());
        let mut held = 0;
        for guide in guides {
            let product: Product = guide.id.parse().expect("a product");
            let mut told: Vec<_> = guide.directories.iter().map(|directory| directory.path).collect();
            let mut looked = (product.facts().directories)(Os::Windows).to_vec();
            told.sort_unstable();
            looked.sort_unstable();
            assert_eq!(looked, told, "{product}");
            held += 1;
        }
        assert_eq!(held, 2, "the anti-virus servers");
    }
}
