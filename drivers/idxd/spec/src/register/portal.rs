//! Where descriptors are written.

/// One of the four pages that BAR2 has for each work queue.
///
/// Source: DSA §3.3, §9.3, figure 9-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Portal {
    /// Accepts until the work queue is full. For the kernel.
    Unlimited = 0,
    /// Accepts until the threshold of a shared work queue is reached. For user space.
    Limited = 1,
    /// As [`Unlimited`](Self::Unlimited); interrupt handles are for the interrupt message storage.
    UnlimitedStorage = 2,
    /// As [`Limited`](Self::Limited); interrupt handles are for the interrupt message storage.
    LimitedStorage = 3,
}

impl Portal {
    /// Bytes from one portal to the next. A descriptor may be written to any 64-byte line of the page.
    pub const SIZE: u64 = 0x1000;

    /// Offset of this portal of work queue `wq` in BAR2.
    #[must_use]
    pub const fn offset(self, wq: u8) -> u64 {
        (wq as u64 * 4 + self as u64) * Self::SIZE
    }

    /// The work queue and the portal that `offset` in BAR2 falls in.
    #[must_use]
    pub fn at(offset: u64) -> Option<(u8, Self)> {
        let portal = match offset / Self::SIZE % 4 {
            0 => Self::Unlimited,
            1 => Self::Limited,
            2 => Self::UnlimitedStorage,
            _ => Self::LimitedStorage,
        };
        Some((u8::try_from(offset / Self::SIZE / 4).ok()?, portal))
    }

    /// Whether the threshold of a shared work queue applies.
    #[must_use]
    pub const fn is_limited(self) -> bool {
        matches!(self, Self::Limited | Self::LimitedStorage)
    }
}
