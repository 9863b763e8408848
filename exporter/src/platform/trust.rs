//! What the seam says about certificates that the system trusts.

/// What the operating system makes of a certificate by where it lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SystemTrust {
    /// Nothing.
    #[default]
    None,
    /// In a directory of authorities where people put their own certificates too.
    Shared,
    /// Among the authorities that the system is shipped with.
    Shipped,
}
