//! PASID table, attach handles, bonds and IO page fault groups, for the kernel and the emulated device.
