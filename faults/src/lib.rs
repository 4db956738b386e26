//! What device page faults cost, and what can be done about them: workloads on memory that is not there, policies for
//! it, and the measuring of both.
//!
//! The library behind `svala faults` and the benches `fault_*`. A [`Workload`] is laid out anew for every run, so that
//! its memory is absent again; a [`Policy`] does its operations on a device of its own; the result is checked, and only
//! then does its time count.
//!
//! ```text
//!  Workload -> Setup (files, once) -> Case (memory, each run) -> Bench::run under a Policy -> checked -> Run
//!                                                                  |
//!                          rivals: Strategy over FaultPolicy::Fail-+-svala's: the runtime's own policies
//! ```
//!
//! The rivals are what others do: touch everything first, touch one page for each fault and submit the rest, touch
//! 128 KiB from each fault on. They run over the runtime's `Fail` policy, on the same device and with the same waits.
//!
//! Left out: tables and drawings, which are the command's.

mod bench;
mod case;
mod counts;
mod cpu_time;
mod device;
mod error;
mod memory;
mod modelled;
mod policy;
mod probe;
mod setup;
mod strategy;
mod workload;

pub use bench::{Bench, Run};
pub use counts::Counts;
pub use device::{Target, TargetDevice};
pub use error::Error;
pub use idxd_emu::timing::Timing;
pub use modelled::{Model, Modelled, not_modelled};
pub use policy::Policy;
pub use probe::{Probe, Quantiles};
pub use setup::{SetUp, Setup};
pub use workload::Workload;
