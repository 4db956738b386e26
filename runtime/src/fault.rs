//! What happens when a device meets a page that is not there: how far to populate, and who does it.

mod policy;
mod resolver;
mod threads;
mod uring;
mod window;

pub use policy::{FaultPolicy, ResolverChoice};
pub(crate) use resolver::{Answer, Request, Resolver};
pub(crate) use window::{Window, WindowBounds};
