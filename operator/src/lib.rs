pub mod decide;
pub mod issuer;
