//! Counters.

/// What a device has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceStats {
    /// Requests taken from the rings.
    pub requests: u64,
    /// Responses written.
    pub responses: u64,
    /// Interrupts raised.
    pub interrupts: u64,
    /// Times a ring pair stood still because its response ring was full.
    pub stalls: u64,
    /// Writes to the tail of a request ring.
    pub tail_writes: u64,
    /// Writes to the head of a response ring.
    pub head_writes: u64,
    /// Addresses that were not registered.
    pub dma_faults: u64,
    /// Requests with something in them that no driver writes.
    pub malformed: u64,
    /// Accesses to registers that do not exist, or not of 32 bits.
    pub bad_accesses: u64,
    /// Ring pair resets done.
    pub resets: u64,
    /// Restarts done.
    pub restarts: u64,
    /// Restarts that the driver was not ready for in time.
    pub rude_restarts: u64,
    /// Writes of requests that were never answered, on reset, to memory that was still registered.
    pub late_writes: u64,
    /// The same, to memory that was not: it had been released too early.
    pub late_faults: u64,
}
