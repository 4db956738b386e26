//! The generations that differ in what a driver has to know.

/// A generation of devices, by what its compression differs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Generation {
    /// 4xxx, 401xx, 402xx.
    Gen4,
    /// 420xx: as the fourth, with a larger output bound for dynamic deflate.
    Gen5,
    /// 6xxx: other configuration words, no recovery, no seeds, and an overflow is an error.
    Gen6,
}

impl Generation {
    /// The generation of a virtual function, from its PCI device number; the vendor is 0x8086.
    ///
    /// Source: the identifiers in the user library's `qat_mgr_lib.c`, lines 19 to 27.
    pub const fn of_vf(device: u16) -> Option<Self> {
        match device {
            0x4941 | 0x4943 | 0x4945 => Some(Self::Gen4),
            0x4947 => Some(Self::Gen5),
            0x4949 => Some(Self::Gen6),
            _ => None,
        }
    }

    /// Whether the device, having found that what it compressed does not expand again, stores the block instead.
    pub const fn recovers(self) -> bool {
        !matches!(self, Self::Gen6)
    }

    /// Whether a compression that ran out of room has still made something of use.
    pub const fn overflow_is_progress(self) -> bool {
        !matches!(self, Self::Gen6)
    }

    /// Whether deflate with fixed codes exists.
    pub const fn has_static_deflate(self) -> bool {
        !matches!(self, Self::Gen6)
    }
}
