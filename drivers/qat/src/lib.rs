//! QAT: virtual functions as queues of the runtime, for compression and AES-GCM.
//!
//! A QAT function that a process was given through vfio reaches memory by I/O addresses that were mapped, and pinned,
//! before. This driver maps memory at its own address (`iova = va`), so that a request names the addresses the program
//! has, and says so: [`AddressMode::PinnedVa`](svala::backend::AddressMode). Nothing here resolves page faults; there are
//! none.
//!
//! ```text
//!  Job --work.rs--> requests --ring.rs--> request ring, one TAIL write a batch      function.rs: registers, iommufd
//!       memory/: is it reachable? else through a bounce buffer of the arena
//!  reactor.rs: MSI eventfd --> responses --> slots --> Notifier        pf.rs: versions, ring map, reset, restart
//! ```
//!
//! **Memory.** An [`Arena`] is pinned once, at addresses within the aperture of the IOMMU; rings live there, bounce
//! buffers, and what [`Arena::allocate`] hands out. Buffers of one's own are registered explicitly ([`Registered`]), which
//! needs whole pages. Everything else is copied, by the thread that submits or polls. There is no cache that registers memory behind the caller's back: what
//! `munmap` or a fork does to such memory would leave the device with other pages than the program has, silently.
//!
//! **Verification.** Compression is verified by the device, always; an answer that does not say so is a failure.
//!
//! **Encryption.** Ring pairs that are set up for symmetric cryptography do AES-GCM in one pass: messages of at least a byte,
//! with up to 240 bytes that are only authenticated; the rest is the CPU's. Keys lie in the arena while a job is under way,
//! and are overwritten when it is over.
//!
//! **A request that is not answered** ends after [`QatQueueConfig::answer_within`]: its ring pair is reset by the physical
//! function, and only when that is confirmed the buffers come back, with an error that says so. Other requests of the ring
//! pair are sent again.
//!
//! Never run on hardware.

mod config;
mod core;
mod discovery;
mod emulated;
mod error;
mod function;
mod gcm;
mod lane;
mod memory;
mod pf;
mod queue;
mod reactor;
mod ring;
mod slot;
mod stats;
mod sys;
mod work;

pub use config::QatQueueConfig;
pub use discovery::{Discovery, QatFunction, QatFunctions};
pub use emulated::{EmulatedFunction, InstantFunction, emulated};
pub use error::{Error, PfError};
pub use function::{Region, VirtualFunction};
pub use memory::{Arena, ArenaBuf, RegisterFailed, Registered};
pub use pf::ring_pairs;
pub use qat_spec::Generation;
pub use queue::{QatFlight, QatQueue};
pub use stats::QatStats;
pub use sys::{RegisterMap, VfioDevice, VfioFunction};
