//! Addresses by role, so that a source and a destination cannot change places in a call.

use core::fmt;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl From<u64> for $name {
            fn from(addr: u64) -> Self {
                Self(addr)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address! {
    /// Where a device reads: an address in the space of the descriptor's PASID.
    SrcAddr
}

address! {
    /// Where a device writes: an address in the space of the descriptor's PASID.
    DstAddr
}
