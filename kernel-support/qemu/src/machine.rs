//! What the device needs of the machine it is plugged into.

use idxd_emu::{Access, Space};

/// Whose page, and what for: a translation or a page request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The PASID.
    pub pasid: u32,
    /// For privileged mode.
    pub privileged: bool,
    /// Any address of the page.
    pub addr: u64,
    /// What is wanted of it.
    pub access: Access,
}

impl Request {
    /// `None` in the space that has no PASID: nothing is translated there.
    pub(crate) fn new(space: Space, addr: u64, access: Access) -> Option<Self> {
        Some(Self { pasid: space.pasid?, privileged: space.privileged, addr, access })
    }
}

/// A page of the device's as the IOMMU has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Where the page begins, in [`target`](Self::target).
    pub addr: u64,
    /// log2 of its bytes.
    pub shift: u8,
    /// It may be written. It may always be read.
    pub writable: bool,
    /// Names the memory it is in to the machine: 0 is what the device reaches without a PASID.
    pub target: usize,
}

/// Why a page request did not go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestRefused {
    /// The IOMMU's queue is full: later.
    Full,
    /// The device may not ask.
    Off,
}

/// The answer to a group of page requests (PCIe, PRG Response).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// The page is there.
    Success,
    /// It cannot be had.
    Invalid,
    /// The host cannot answer, now and later.
    Failure,
}

/// A virtual machine, from the device's side.
pub trait Machine: Send + Sync + 'static {
    /// What can be done while the machine's lock is held.
    type Locked<'a>: Locked
    where
        Self: 'a;

    /// Takes the lock that the IOMMU holds while it invalidates translations. May be called by a thread that has it.
    fn lock(&self) -> Self::Locked<'_>;
}

/// The machine while its lock is held.
pub trait Locked {
    /// A translation request (ATS). The answer may lack the permission to write; `None` is no page, or no ATS.
    fn translate(&mut self, request: &Request) -> Option<Translation>;

    /// Reads what lies in one page, or at an address that is not translated by the device.
    fn read(&mut self, target: usize, addr: u64, bytes: &mut [u8]) -> bool;

    /// Writes the same way. Later accesses of the machine's processors see this write before the next one.
    fn write(&mut self, target: usize, addr: u64, bytes: &[u8]) -> bool;

    /// A page request (PRI), the last and only one of group `group`.
    ///
    /// # Errors
    ///
    /// It did not go out: no response will come.
    fn request_page(&mut self, request: &Request, group: u16) -> Result<(), RequestRefused>;

    /// Raises an entry of the MSI-X table.
    fn raise(&mut self, vector: u16);

    /// Sends an interrupt message that is not of that table.
    fn send_message(&mut self, addr: u64, data: u32);
}
