//! A handshake that showed a certificate and did not come to its end.

/// Why a handshake did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// One of [`Broken::REASONS`].
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Broken {
    /// The closed set of a metric label.
    pub const REASONS: [&'static str; 7] = [
        "client_certificate_wanted",
        "group_not_spoken",
        "not_finished",
        "old_cipher_suite",
        "old_version",
        "refused",
        "timeout",
    ];
}
