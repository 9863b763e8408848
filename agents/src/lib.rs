//! The products: where each keeps its keystore, what its files mean, how its service is stopped and started.
//!
//! ```text
//!   Product ──facts()──> Facts   id, class, directories, keystore names, alias, port, service commands, protected files
//!      │
//!      ├─ powerchute_serial_shutdown   pcssconfig.ini holds the store's password (through `ini`)
//!      ├─ powerchute_business_edition  renewed by a program that the host's configuration names
//!      │    powerchute_network_shutdown   no product yet: where its event log lies
//!      ├─ virus_buster_corp, apex_one  renewed by a program of their own on the server
//!      ├─ tls_service                  any service with a keystore and a TLS endpoint; all of it configured
//!      ├─ self_renewing_service        any service that renews its own certificate when told; all of it configured
//!      └─ skysea                       looked at through its alerts (`alert`), and not rotated
//!
//!   Product ──guide()──> Guide   what its vendor has published beyond the end of its certificate, for a person
//!   Concern                      what a vendor's notice says of one part of a product: what stops when its certificate ends, or which faults it has
//! ```
//!
//! A product is a file with its `FACTS`, and a line in the list in `product`. One that the cluster may name has a line in the
//! resource's `Product` too; a test ties the two.
//!
//! Fixed knowledge, as data: no file is opened and no address is dialled here.

#![forbid(unsafe_code)]

mod alert;
mod apex_one;
mod concern;
mod facts;
mod guide;
mod ini;
mod notice;
mod os;
mod powerchute_business_edition;
pub mod powerchute_network_shutdown;
mod powerchute_serial_shutdown;
mod product;
mod published;
mod self_renewing_service;
mod skysea;
mod tls_service;
mod virus_buster_corp;

pub use alert::AlertFacts;
pub use concern::{Concern, Situation};
pub use facts::{
    Class, ClientFacts, ClientLogFacts, CommandWord, Hardening, Part, PasswordIni, ProductFacts, ReleaseMark, Renewal,
    ServiceCommands, ServiceFacts,
};
pub use guide::{
    Argument, Bits, Component, Delivered, Directory, Guide, Installed, Length, List, Login, Misprint, Problem,
    SeenAfter, Sign, Tool, Use,
};
pub use ini::{Ini, IniError, MAX_INI_BYTES};
pub use notice::{Effect, Mark, Notice, Release};
pub use os::Os;
pub use product::{Product, UnknownProduct};
pub use published::{GUIDES, guide};
