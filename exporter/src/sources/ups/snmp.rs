//! To be built.

use crate::config::SnmpConfig;
use crate::snapshot::Trouble;
use crate::ups::Reading;

#[derive(Debug)]
pub(super) struct Client {
    _config: SnmpConfig,
}

impl Client {
    pub(super) fn new(config: &SnmpConfig) -> Self {
        Self { _config: config.clone() }
    }

    pub(super) async fn read(&mut self) -> Result<Reading, Trouble> {
        Err(Trouble::new("protocol", "not built yet"))
    }
}
