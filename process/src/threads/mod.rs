//! Threads beside the runtime's: the runtime's own pool keeps work for which the system gives no thread in its queue, with all that the
//! work holds, until somebody else asks for a thread.
//!
//! How much work there may be at once is for whoever asks to say.

pub mod own_thread;
mod pool;
mod within;

pub use own_thread::Job;
pub use pool::{Lost, POOL, Pool, Started};
pub use within::{Unanswered, within};
