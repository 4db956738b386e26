//! Which operands of a descriptor are in another address space.
//!
//! An operand in another space is named by a handle to an entry of the device's inter-domain permissions table
//! ([`PermissionEntry`](crate::PermissionEntry)), which whoever owns that space has asked the kernel to fill in. The
//! kernel has no interface for that yet.

use bitflags::bitflags;

use crate::Permissions;
use crate::field::Field;

/// A handle to an entry of the inter-domain permissions table: its index, unless the device hands out handles by a
/// command (DSA §3.14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdptHandle(pub u16);

/// The operands of an operation with a source and a destination, or two sources, that are in another address space: at
/// least one.
///
/// Source: DSA table 8-28.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alternate {
    /// The source, or source 1.
    Src(IdptHandle),
    /// The destination, or source 2.
    Dst(IdptHandle),
    /// Both.
    Both {
        /// The source, or source 1.
        src: IdptHandle,
        /// The destination, or source 2.
        dst: IdptHandle,
    },
}

impl Alternate {
    /// The handle of the source, or source 1.
    #[must_use]
    pub const fn src(self) -> Option<IdptHandle> {
        match self {
            Self::Src(src) | Self::Both { src, .. } => Some(src),
            Self::Dst(_) => None,
        }
    }

    /// The handle of the destination, or source 2.
    #[must_use]
    pub const fn dst(self) -> Option<IdptHandle> {
        match self {
            Self::Dst(dst) | Self::Both { dst, .. } => Some(dst),
            Self::Src(_) => None,
        }
    }
}

/// One value for each operand of a reduce operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReduceOperands<T> {
    /// Source 1.
    pub src1: T,
    /// Source 2.
    pub src2: T,
    /// The destination, or destination 1.
    pub dst1: T,
    /// Destination 2; reduce with dualcast only.
    pub dst2: T,
}

impl<T: Copy> ReduceOperands<T> {
    const fn array(self) -> [T; 4] {
        [self.src1, self.src2, self.dst1, self.dst2]
    }
}

/// The operands of a reduce operation that are in another address space: at least one, over at most two handles, which
/// is what the descriptor has room for.
///
/// Source: DSA §8.1.13.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReduceDomains {
    selector: DomainSelector,
    handles: [Option<IdptHandle>; 2],
}

impl ReduceDomains {
    /// `None` if no operand has a handle, or if there are more than two different ones.
    #[must_use]
    pub fn new(operands: ReduceOperands<Option<IdptHandle>>) -> Option<Self> {
        let mut handles = [None; 2];
        let mut selector = 0;
        for (operand, handle) in operands.array().into_iter().enumerate() {
            if handle.is_some() {
                let at = handles.iter().position(|known| *known == handle || known.is_none())?;
                handles[at] = handle;
                selector |= (if at == 0 { 1 } else { 2 }) << (2 * operand);
            }
        }
        (selector != 0).then_some(Self { selector: DomainSelector(selector), handles })
    }

    pub(crate) fn write(self, descriptor: &mut [u8], selector: Field<u8>, handles: [Field<u16>; 2]) {
        selector.write(descriptor, self.selector.0);
        for (field, handle) in handles.into_iter().zip(self.handles) {
            field.write(descriptor, handle.map_or(0, |handle| handle.0));
        }
    }
}

/// The byte of a reduce descriptor that gives each operand one of its two handles, or none.
///
/// Source: DSA §8.1.13, table 8-8. Not in uapi.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DomainSelector(pub u8);

impl DomainSelector {
    /// For each operand 0 for none, 1 or 2 for a handle; 3 is reserved.
    #[must_use]
    pub const fn operands(self) -> ReduceOperands<u8> {
        ReduceOperands { src1: self.0 & 3, src2: self.0 >> 2 & 3, dst1: self.0 >> 4 & 3, dst2: self.0 >> 6 }
    }

    /// Not zero, and no operand has the reserved value. Reduce without dualcast has no destination 2, so `dualcast`
    /// says whether that may be set.
    #[must_use]
    pub fn is_valid(self, dualcast: bool) -> bool {
        let operands = self.operands();
        self.0 != 0 && !operands.array().contains(&3) && (dualcast || operands.dst2 == 0)
    }

    /// Whether an operand uses handle `number`, 1 or 2.
    #[must_use]
    pub fn uses(self, number: u8) -> bool {
        self.operands().array().contains(&number)
    }
}

/// The part of an address space that an entry opens, and what addresses in a descriptor mean.
///
/// Source: DSA §3.14.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// All of it.
    Everything,
    /// A range, and descriptors have addresses of that space.
    Addresses(WindowRange),
    /// A range, and descriptors have offsets from where it begins. Needs
    /// [`IdCap::offset_mode`](crate::register::IdCap::offset_mode).
    Offsets(WindowRange),
}

/// A range of addresses that is not empty and does not wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowRange {
    base: u64,
    size: u64,
}

impl WindowRange {
    /// `size` bytes from `base` on; `None` if that is nothing, or more than there is up to 2^64.
    #[must_use]
    pub fn new(base: u64, size: u64) -> Option<Self> {
        let last = size.checked_sub(1)?;
        base.checked_add(last).map(|_| Self { base, size })
    }

    /// The first address.
    #[must_use]
    pub const fn base(self) -> u64 {
        self.base
    }

    /// Bytes.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.size
    }

    /// Whether `len` bytes from `addr` on lie inside.
    #[must_use]
    pub fn contains(self, addr: u64, len: u64) -> bool {
        addr.checked_sub(self.base).is_some_and(|offset| self.contains_offset(offset, len))
    }

    /// Whether `len` bytes from `offset` bytes behind the base on lie inside.
    #[must_use]
    pub fn contains_offset(self, offset: u64, len: u64) -> bool {
        offset < self.size && len <= self.size - offset
    }
}

impl Window {
    /// The range, if it is not everything.
    #[must_use]
    pub const fn range(self) -> Option<WindowRange> {
        match self {
            Self::Everything => None,
            Self::Addresses(range) | Self::Offsets(range) => Some(range),
        }
    }

    /// Where `len` bytes that a descriptor says are at `addr` really are; `None` if that is outside (DSA §5.6).
    #[must_use]
    pub fn resolve(self, addr: u64, len: u64) -> Option<u64> {
        match self {
            Self::Everything => Some(addr),
            Self::Addresses(range) => range.contains(addr, len).then_some(addr),
            Self::Offsets(range) => range.contains_offset(addr, len).then(|| range.base + addr),
        }
    }
}

bitflags! {
    /// The byte of an update window descriptor that says what its window is. Bits 7:4 are reserved.
    ///
    /// Source: DSA §8.3.27, table 8-26. Not in uapi.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct WindowFlags: u8 {
        /// Bit 0: memory may be read.
        const READ = 1 << 0;
        /// Bit 1: memory may be written.
        const WRITE = 1 << 1;
        /// Bit 2: there is a window.
        const ENABLE = 1 << 2;
        /// Bit 3: in offset mode; reserved without [`ENABLE`](Self::ENABLE).
        const OFFSET_MODE = 1 << 3;
    }
}

impl WindowFlags {
    /// The flags for a window.
    #[must_use]
    pub const fn new(permissions: Permissions, window: Window) -> Self {
        let permissions = Self::from_bits_retain(permissions.bits());
        match window {
            Window::Everything => permissions,
            Window::Addresses(_) => permissions.union(Self::ENABLE),
            Window::Offsets(_) => permissions.union(Self::ENABLE).union(Self::OFFSET_MODE),
        }
    }

    /// The permissions alone.
    #[must_use]
    pub const fn permissions(self) -> Permissions {
        Permissions::from_bits(self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_lets_in_what_lies_inside_to_the_last_byte() {
        let range = WindowRange::new(0x1000, 0x100).unwrap();
        let addresses = [(0x1000, 0x100, true), (0x10ff, 1, true), (0xfff, 1, false), (0x1001, 0x100, false)];
        for (addr, len, is_inside) in addresses {
            assert_eq!(Window::Addresses(range).resolve(addr, len), is_inside.then_some(addr), "{addr:#x}");
            let offset = addr.wrapping_sub(0x1000);
            assert_eq!(Window::Offsets(range).resolve(offset, len), is_inside.then_some(addr), "{offset:#x}");
        }
        assert_eq!(Window::Addresses(range).resolve(0x1100, 0), None);
        assert_eq!(Window::Everything.resolve(u64::MAX, 7), Some(u64::MAX));
    }

    #[test]
    fn window_may_end_at_the_top_and_not_go_round() {
        assert!(WindowRange::new(u64::MAX, 1).is_some() && WindowRange::new(0, u64::MAX).is_some());
        assert!(WindowRange::new(u64::MAX, 2).is_none() && WindowRange::new(5, 0).is_none());
    }

    #[test]
    fn two_handles_serve_four_operands_and_three_do_not() {
        let (a, b, c) = (Some(IdptHandle(7)), Some(IdptHandle(0)), Some(IdptHandle(9)));
        let domains = ReduceDomains::new(ReduceOperands { src1: b, src2: a, dst1: None, dst2: b }).unwrap();
        assert_eq!(domains.selector.0, 0b01_00_10_01);
        assert_eq!(domains.handles, [b, a]);
        assert_eq!(ReduceDomains::new(ReduceOperands { src1: a, src2: b, dst1: c, dst2: None }), None);
        assert_eq!(ReduceDomains::new(ReduceOperands::default()), None);
    }

    #[test]
    fn selector_knows_its_reserved_values() {
        assert!(
            DomainSelector(0b01_10_00_01).is_valid(true) && !DomainSelector(0b01_10_00_01).is_valid(false)
        );
        assert!(!DomainSelector(0).is_valid(true) && !DomainSelector(0b11).is_valid(true));
        assert!(DomainSelector(0b10).uses(2) && !DomainSelector(0b10).uses(1));
    }
}
