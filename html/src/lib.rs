//! Pages for people, as each of our programs has them: text from outside, tables, one style. No script, and nothing from elsewhere.
//!
//! ```text
//!   begin ──> sections, Table (rows of Cells, an Emphasis each) ──> END        all text from outside is Escaped
//! ```
//!
//! Every state is a word; a colour only repeats it. A text browser shows the same page. It knows no HTTP.

#![forbid(unsafe_code)]

mod document;
mod escaped;
mod seen;
mod table;

pub use document::{END, STYLE, begin};
pub use escaped::Escaped;
pub use seen::is_seen;
pub use table::{Cell, Emphasis, Table};
