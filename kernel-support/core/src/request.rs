// SPDX-License-Identifier: MIT OR Apache-2.0

//! Page requests and page responses: what travels between device and host. Plain values, no state.

use core::fmt;
use core::ops::BitOr;

use super::pasid::PasidNumber;

/// What the device wants to do with the page.
///
/// Source: `IOMMU_FAULT_PERM_READ`, `_WRITE`, `_EXEC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access(u8);

impl Access {
    /// Nothing. Only a stop marker asks for it.
    pub const NONE: Self = Self(0);
    /// Read.
    pub const READ: Self = Self(1);
    /// Write.
    pub const WRITE: Self = Self(2);
    /// Execute.
    pub const EXEC: Self = Self(4);

    /// Whether all of `other` is in `self`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Access {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [(Self::READ, "r"), (Self::WRITE, "w"), (Self::EXEC, "x")] {
            f.write_str(if self.contains(bit) { letter } else { "-" })?;
        }
        Ok(())
    }
}

/// Which group of its page requests the device means. Nine bits on PCIe (PRG index), sixteen for a
/// stall tag.
///
/// Source: `iommu_fault_page_request::grpid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupIndex(pub u32);

/// Names one group on one device. Both parts, because a device may reuse an index for another
/// PASID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupKey {
    pub(crate) pasid: PasidNumber,
    pub(crate) index: GroupIndex,
}

/// One page the device wants.
///
/// Source: `struct iommu_fault_page_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    pasid: PasidNumber,
    index: GroupIndex,
    address: u64,
    access: Access,
    privileged: bool,
    last: bool,
    tag: u64,
}

impl PageRequest {
    /// A request for the page at `address`, the last (or only) one of its group, not privileged.
    #[must_use]
    pub const fn new(pasid: PasidNumber, index: GroupIndex, address: u64, access: Access) -> Self {
        Self {
            pasid,
            index,
            address,
            access,
            privileged: false,
            last: true,
            tag: 0,
        }
    }

    /// The message by which a device says that it has stopped using `pasid` and sends nothing more
    /// for it. It gets no response.
    #[must_use]
    pub const fn stop_marker(pasid: PasidNumber) -> Self {
        Self::new(pasid, GroupIndex(0), 0, Access::NONE)
    }

    /// Says whether this is the last request of its group (`IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE`).
    #[must_use]
    pub const fn with_last(mut self, last: bool) -> Self {
        self.last = last;
        self
    }

    /// Says whether the access is a supervisor's (`IOMMU_FAULT_PERM_PRIV`).
    #[must_use]
    pub const fn with_privileged(mut self, privileged: bool) -> Self {
        self.privileged = privileged;
        self
    }

    /// Adds what the embedder wants to find in the answer (how its bus writes the group down).
    /// Means nothing here.
    #[must_use]
    pub const fn with_tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// What [`with_tag`](Self::with_tag) added.
    #[must_use]
    pub const fn tag(&self) -> u64 {
        self.tag
    }

    /// Whose address space.
    #[must_use]
    pub const fn pasid(&self) -> PasidNumber {
        self.pasid
    }

    /// Which group.
    #[must_use]
    pub const fn index(&self) -> GroupIndex {
        self.index
    }

    /// The address, as the device sent it; only the page counts.
    #[must_use]
    pub const fn address(&self) -> u64 {
        self.address
    }

    /// What for.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }

    /// Whether the access is a supervisor's.
    #[must_use]
    pub const fn is_privileged(&self) -> bool {
        self.privileged
    }

    /// Whether the group is complete with this one.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.last
    }

    /// Whether this is a stop marker: last of its group, and asks for nothing.
    #[must_use]
    pub const fn is_stop_marker(&self) -> bool {
        self.last && self.access.is_none()
    }

    pub(crate) const fn key(&self) -> GroupKey {
        GroupKey {
            pasid: self.pasid,
            index: self.index,
        }
    }
}

/// The answer to a group.
///
/// Source: `enum iommu_page_response_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The pages were made present: the device tries again.
    Success,
    /// A page cannot be made present (no mapping, no permission, nobody to ask): the device fails
    /// that work.
    Invalid,
    /// Something is broken: the device stops sending page requests altogether.
    Failure,
}

/// The one answer to one group, on its way to the device.
///
/// Source: `struct iommu_page_response`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageResponse {
    /// Whose.
    pub pasid: PasidNumber,
    /// Which group.
    pub index: GroupIndex,
    /// The answer.
    pub code: Code,
    /// The tag of the group's last request, or of its first when it never had a last one.
    pub tag: u64,
}
