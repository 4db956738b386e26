//! Configuring devices: the JSON that `accel-config save-config` writes and `load-config` reads.
//!
//! [`Configuration::parse`] reads a file, [`Plan::new`] holds it against what [`Sysfs`](crate::Sysfs) found and makes
//! an ordered list of writes, and [`Plan::apply`] makes them. What a device cannot do is refused by the plan, before
//! anything is touched; what the kernel refuses after all is undone. [`Configuration::of`] is the way back, from a
//! tree to a file.
//!
//! The rules held against are those of the idxd driver's attributes: what is writable in which state, which write
//! changes what else, which order keeps every sum within its bound.

mod apply;
mod check;
mod json;
mod order;
mod plan;
mod save;
mod tree;

pub use apply::{ApplyError, Left};
pub use check::{Note, Refusal, RefusalKind, Refused};
pub use json::{
    Configuration, ConfigurationError, DeviceConfiguration, EngineConfiguration, GroupConfiguration,
    WorkQueueConfiguration,
};
pub use plan::{Plan, PlanOptions, Step};
pub use save::SaveScope;
pub use tree::{SysfsTree, Tree};
