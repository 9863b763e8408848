//! The procedure of products that renew their own certificate: one order, a program of the product's, and a look at what is served.
//! A repair (`repair/`) goes through the same steps, and runs and proves something else in them.
//!
//! ```text
//!   order ──> renewal   what comes next (pure)
//!                │
//!             effects   runs the program, and looks at the leaf that the agent has
//!                │
//!              kept            what the program writes over: copied before it, put back after it
//!              product_backup  what a backup of the product's own has to be, and where it is
//! ```

mod effects;
mod kept;
mod product_backup;
pub mod renewal;
mod requests;

pub(super) use product_backup::prune as prune_product_backups;
