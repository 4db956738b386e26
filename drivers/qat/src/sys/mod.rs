//! The kernel's interfaces: vfio's device nodes with iommufd, and its groups and containers where there are none.

mod device;
mod function;
mod register;
mod space;
mod uapi;

pub use device::VfioDevice;
pub use function::VfioFunction;
pub use register::RegisterMap;
