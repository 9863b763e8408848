//! The procedure of products that renew their own certificate: one order, a program of the product's, and a look at what is served.
//!
//! ```text
//!   order ──> renewal   what comes next (pure)
//!                │
//!             effects   runs the program, and looks at the endpoint
//!                │
//!              kept     what the program writes over: copied before it, put back after it
//! ```

mod effects;
mod kept;
pub mod renewal;
mod requests;
