//! Names and pairs bags as Java does where the file says nothing (`PKCS12KeyStore.loadSafeContents` of the JDK).
//!
//! An entry without a friendly name is called by a number, counted over the store. The first private key without a local key
//! id gets a fixed one, and so does the first certificate of a safe behind it. Later private keys without one, and keys that
//! are not encrypted, are passed over.

use super::{Bag, BagKind};

/// The id of the first private key that has none, and of its certificate.
const MADE_UP_KEY_ID: &[u8] = b"01";

/// How many entries and private keys were seen so far in one store.
#[derive(Default)]
pub(super) struct JavaNames {
    nameless: usize,
    private_keys: usize,
}

impl JavaNames {
    /// Names the bags of the next safe: all of them, in its order, what lies deeper among them.
    pub(super) fn give(&mut self, bags: &mut [Bag<'_>]) {
        for bag in bags {
            let Some(place) = bag.place else {
                bag.unseen_by_java = true;
                continue;
            };
            match bag.kind {
                BagKind::Key(_) => bag.unseen_by_java = true,
                BagKind::SealedKey(_) => {
                    self.private_keys += 1;
                    bag.key_id = match bag.local_key_id {
                        None if self.private_keys == 1 => Some(MADE_UP_KEY_ID),
                        found => found,
                    };
                    bag.unseen_by_java = bag.key_id.is_none();
                }
                BagKind::Certificate { .. } if place == 0 && self.private_keys == 1 && bag.local_key_id.is_none() => {
                    bag.key_id = Some(MADE_UP_KEY_ID);
                }
                BagKind::Certificate { .. } | BagKind::Secret { .. } | BagKind::Nested(_) | BagKind::Other => {}
            }
            if bag.alias.is_none() && bag.is_entry() && !bag.unseen_by_java {
                self.nameless += 1;
                bag.alias = Some(self.nameless.to_string());
            }
        }
    }
}
