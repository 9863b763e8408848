//! Whose sockets listen where a connection arrives. Only rotations need to know.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::super::{Ability, ListenersError, NotOnThisSystem};
use super::accounts::AccountId;

/// The accounts whose sockets listen where a connection to `peer`, an address of this host, arrives.
///
/// # Errors
/// Always.
pub fn listeners(_peer: SocketAddr) -> Result<BTreeSet<AccountId>, ListenersError> {
    Err(NotOnThisSystem(Ability::Rotations).into())
}

/// The accounts whose sockets keep another from listening at `address`.
///
/// # Errors
/// Always.
pub fn occupants(_address: SocketAddr) -> Result<BTreeSet<AccountId>, ListenersError> {
    Err(NotOnThisSystem(Ability::Rotations).into())
}
