//! What is no file and has an owner and an access list all the same, such as a pipe: made for administrators and this program alone,
//! and judged before it is trusted.

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::os::windows::io::AsHandle;

use super::attributes::{Attributes, own_account};
use super::held::access_of;
use super::sys::Descriptor;

/// Owner and access list of an object that is to be made.
pub struct ObjectSecurity(Descriptor);

impl fmt::Debug for ObjectSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectSecurity").finish_non_exhaustive()
    }
}

impl ObjectSecurity {
    /// For an object that nobody but SYSTEM, administrators and the account of this program may use.
    ///
    /// # Errors
    /// When Windows refuses it.
    pub fn private() -> io::Result<Self> {
        Self::of(Attributes::ours().sddl())
    }

    /// As Windows writes it down (SDDL).
    ///
    /// # Errors
    /// When Windows refuses it.
    pub fn of(sddl: &str) -> io::Result<Self> {
        Descriptor::of(sddl).map(Self)
    }

    /// For a structure of Windows'; it leads to a security descriptor for as long as this lives.
    pub const fn as_ptr(&self) -> *mut c_void {
        self.0.as_ptr()
    }
}

/// Who else than an administrator may have made an object, or may change it; in words, after its name. Administrators are SYSTEM, the
/// group of that name, Windows itself and the account of this program. It must have been opened with the right to read its security.
///
/// # Errors
/// When Windows does not tell.
pub fn strangers_in(object: &impl AsHandle) -> io::Result<Option<String>> {
    Ok(access_of(object)?.writable_by(own_account()))
}
