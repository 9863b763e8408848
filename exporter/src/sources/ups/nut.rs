//! To be built.

use super::Read;
use crate::config::NutConfig;
use crate::snapshot::{Label, Trouble};

#[derive(Debug)]
pub(super) struct Client {
    _config: NutConfig,
    _name: Label,
}

impl Client {
    pub(super) fn new(config: &NutConfig, name: Label) -> Self {
        Self { _config: config.clone(), _name: name }
    }

    pub(super) async fn read(&mut self) -> Read {
        Err(Trouble::new("protocol", "not built yet"))
    }
}
