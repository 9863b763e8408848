//! What a message tells a person to do, where the systems have different tools for it.

/// Parts of sentences.
#[derive(Clone, Copy, Debug)]
pub struct Hints {
    /// The command that tells which program listens at a port.
    pub who_listens: &'static str,
    /// How the clock comes to be synchronized.
    pub synchronize_clock: &'static str,
    /// Who is asked whether it is.
    pub clock_is_told_by: &'static str,
    /// Where an address cannot be listened on.
    pub other_address: &'static str,
    /// How a file becomes one that nobody else may read.
    pub make_private: &'static str,
}
