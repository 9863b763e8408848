//! To be built.

use crate::config::ApcupsdConfig;
use crate::snapshot::Trouble;
use crate::ups::Reading;

#[derive(Debug)]
pub(super) struct Client {
    _config: ApcupsdConfig,
}

impl Client {
    pub(super) fn new(config: &ApcupsdConfig) -> Self {
        Self { _config: config.clone() }
    }

    pub(super) async fn read(&mut self) -> Result<Reading, Trouble> {
        Err(Trouble::new("protocol", "not built yet"))
    }
}
