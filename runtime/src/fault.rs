//! What happens when a device meets a page that is not there: how far to populate, and who does it.

mod auto;
mod calibrate;
mod cost;
mod limit;
mod policy;
mod pool;
mod residency;
mod resolver;
mod small;
mod threads;
mod uring;
mod window;

pub use auto::AutoSnapshot;
pub(crate) use auto::{Auto, Circumstances, Resolved};
pub use cost::{CostModel, Estimate, Situation};
pub(crate) use cost::{PREFETCH_BYTES, WINDOW_BYTES_MAX, WINDOW_BYTES_MIN};
pub(crate) use limit::memory_bytes_max;
pub use policy::{FaultPolicy, ResolverChoice};
pub(crate) use pool::Pool;
pub(crate) use resolver::{Answer, IN_FLIGHT_MAX, Pumped, Request, Resolver, Started};
pub(crate) use small::{HELPERS, Small};
pub(crate) use window::{Streams, Window, WindowBounds};
