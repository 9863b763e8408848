//! To be built.

use crate::config::PowerchuteWebConfig;
use crate::snapshot::Trouble;
use crate::ups::Reading;

#[derive(Debug)]
pub(super) struct Client {
    _config: PowerchuteWebConfig,
}

impl Client {
    pub(super) fn new(config: &PowerchuteWebConfig) -> Self {
        Self { _config: config.clone() }
    }

    pub(super) async fn read(&mut self) -> Result<Reading, Trouble> {
        Err(Trouble::new("protocol", "not built yet"))
    }
}
