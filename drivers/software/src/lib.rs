//! The CPU engine: every operation at memory speed, and the arithmetic of the emulated device.
