//! The kernel's interfaces: vfio's device nodes and iommufd.

mod device;
mod function;
mod uapi;

pub use device::{RegisterMap, VfioDevice};
pub use function::VfioFunction;
