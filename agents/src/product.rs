//! Which products there are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::facts::ProductFacts;
use crate::guide::Guide;
use crate::published::guide;

/// Makes [`Product`] of the list: a variant, and the module with its facts.
macro_rules! products {
    ($($variant:ident => $module:ident),+ $(,)?) => {
        /// A kind of agent. Its text form is its id.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(into = "&'static str", try_from = "String")]
        pub enum Product {
            $($variant),+
        }

        impl Product {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub const fn facts(self) -> &'static ProductFacts {
                match self {
                    $(Self::$variant => &crate::$module::FACTS),+
                }
            }
        }
    };
}

products! {
    PowerchuteSerialShutdown => powerchute_serial_shutdown,
    PowerchuteBusinessEdition => powerchute_business_edition,
    // Before its successor, which may lie in the directory that it was in: nothing there tells the two apart.
    VirusBusterCorp => virus_buster_corp,
    ApexOne => apex_one,
    TlsService => tls_service,
    SelfRenewingService => self_renewing_service,
    Skysea => skysea,
}

/// A product id that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such product; known are {}", ids())]
pub struct UnknownProduct;

impl Product {
    pub const fn id(self) -> &'static str {
        self.facts().id
    }

    /// What its vendor has published beyond the end of its certificate.
    pub fn guide(self) -> Option<&'static Guide> {
        guide(self.id())
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Product {
    type Err = UnknownProduct;

    fn from_str(text: &str) -> Result<Self, UnknownProduct> {
        let product = Self::ALL.iter().copied().find(|product| product.id() == text);
        product.ok_or(UnknownProduct)
    }
}

impl TryFrom<String> for Product {
    type Error = UnknownProduct;

    fn try_from(text: String) -> Result<Self, UnknownProduct> {
        text.parse()
    }
}

impl From<Product> for &'static str {
    fn from(product: Product) -> Self {
        product.id()
    }
}

fn ids() -> String {
    let ids: Vec<_> = Product::ALL.iter().map(|product| product.id()).collect();
    ids.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_product_and_nothing_else_does() {
        for product in Product::ALL.iter().copied() {
            assert_eq!(product.id().parse(), Ok(product));
        }
        assert_eq!("PowerChute".parse::<Product>(), Err(UnknownProduct));
    }

    #[test]
    fn what_a_vendor_has_published_is_of_a_product() {
        for guide in crate::published::GUIDES {
            let product = guide.id.parse::<Product>().expect("it is one");
            assert_eq!(product.guide().map(|guide| guide.id), Some(guide.id));
        }
        assert!(Product::TlsService.guide().is_none());
    }

    #[test]
    fn the_keystore_of_powerchute_network_shutdown_is_nobody_elses() {
        for product in Product::ALL.iter().copied() {
            assert!(!product.facts().keystores.contains(&"PowerChute-keystore"), "{product}");
        }
    }

    #[test]
    fn a_product_whose_password_lies_in_an_ini_protects_that_file() {
        for product in Product::ALL.iter().copied() {
            if let Some(ini) = product.facts().password_ini {
                assert!(product.facts().protected.contains(&ini.file), "{product}");
                assert!(ini.backup.is_none_or(|backup| product.facts().protected.contains(&backup)), "{product}");
            }
        }
    }
}
