//! Memory a function reaches: the arena, what is registered, and whether an address is one of these.

mod arena;
mod free;
mod limit;
mod registered;

pub(crate) use arena::Piece;
pub use arena::{Arena, ArenaBuf};
pub use registered::{RegisterFailed, Registered};
