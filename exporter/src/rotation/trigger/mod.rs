//! The procedure of products that renew their own certificate: one order, a program of the product's, and a look at what is served.
//!
//! ```text
//!   order ──> renewal   what comes next (pure)
//!                │
//!             effects   runs the program, and looks at the endpoint
//! ```

mod effects;
pub mod renewal;
mod requests;
