//! What a person can ask to have explained: a product, a vendor's notice, or a product with one.

use std::str::FromStr;

use crate::guide::Guide;
use crate::product::{Product, UnknownProduct};
use crate::published::{GUIDES, guide};

/// Something with an id that is explained.
#[derive(Clone, Copy, Debug)]
pub enum Subject {
    /// A host can be configured with it.
    Product(Product, Option<&'static Guide>),
    /// Known by its vendor's notice: no host looks at it.
    NoticeAlone(&'static Guide),
}

impl Subject {
    pub fn ids() -> impl Iterator<Item = &'static str> {
        let alone = GUIDES.iter().map(|guide| guide.id).filter(|id| id.parse::<Product>().is_err());
        Product::ALL.iter().map(|product| product.id()).chain(alone)
    }
}

impl FromStr for Subject {
    type Err = UnknownProduct;

    fn from_str(id: &str) -> Result<Self, UnknownProduct> {
        match (id.parse::<Product>(), guide(id)) {
            (Ok(product), guide) => Ok(Self::Product(product, guide)),
            (Err(_), Some(guide)) => Ok(Self::NoticeAlone(guide)),
            (Err(unknown), None) => Err(unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_leads_to_what_it_names_once() {
        let mut ids: Vec<_> = Subject::ids().collect();
        for id in &ids {
            let named = match id.parse::<Subject>().expect("it is one of them") {
                Subject::Product(product, guide) => {
                    assert!(guide.is_none_or(|guide| guide.id == *id), "{id}");
                    product.id()
                }
                Subject::NoticeAlone(guide) => guide.id,
            };
            assert_eq!(named, *id);
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        for guide in GUIDES {
            assert!(ids.contains(&guide.id), "{}", guide.id);
        }
    }

    #[test]
    fn a_product_with_a_notice_of_its_own_is_still_the_product() {
        let subject = "powerchute-serial-shutdown".parse();
        assert!(matches!(subject, Ok(Subject::Product(Product::PowerchuteSerialShutdown, Some(_)))));
        assert!(matches!("apex-one".parse(), Ok(Subject::NoticeAlone(_))));
        assert!("PowerChute".parse::<Subject>().is_err());
    }
}
