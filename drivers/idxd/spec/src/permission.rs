//! An entry of the inter-domain permissions table.
//!
//! The host's kernel fills the table in; no kernel has an interface for it yet. A device model reads it, and an update
//! window descriptor changes part of it.

use core::fmt;

use crate::domain::{Window, WindowRange};
use crate::field::Field;

/// Usable, allow update, type, submitter PASID.
const SUBMITTER: Field<u32> = Field::at(0);
/// Permissions, window enable and mode, access PASID.
const ACCESS: Field<u32> = Field::at(4);
const WINDOW_BASE: Field<u64> = Field::at(8);
const WINDOW_SIZE: Field<u64> = Field::at(16);
const BITMAP_ADDR: Field<u64> = Field::at(24);

const USABLE: u32 = 1 << 0;
const ALLOW_UPDATE: u32 = 1 << 1;
const TYPE_SHIFT: u32 = 2;
const SUBMITTER_RESERVED: u32 = 0xff0;
const PASID_SHIFT: u32 = 12;
const PASID_MAX: u32 = 0xf_ffff;
const READ: u32 = 1 << 0;
const WRITE: u32 = 1 << 1;
const PRIVILEGE: u32 = 1 << 2;
const WINDOW_ENABLE: u32 = 1 << 3;
const WINDOW_MODE: u32 = 1 << 4;
const ACCESS_RESERVED: u32 = 0xfe0;
const BITMAP_RESERVED: u64 = 0xfff;

/// What an entry lets its submitters do.
///
/// Source: DSA §9.2.29, bits 1:0 of bytes 7:4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permissions {
    /// Nothing.
    None,
    /// Read.
    Read,
    /// Write.
    Write,
    /// Both.
    ReadWrite,
}

impl Permissions {
    /// The permissions in bits 1:0 of `bits`.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match (bits & 1 != 0, bits & 2 != 0) {
            (false, false) => Self::None,
            (true, false) => Self::Read,
            (false, true) => Self::Write,
            (true, true) => Self::ReadWrite,
        }
    }

    /// Bit 0 for read, bit 1 for write, as entries and update window descriptors have them.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Read => 1,
            Self::Write => 2,
            Self::ReadWrite => 3,
        }
    }

    /// Memory may be read.
    #[must_use]
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Memory may be written.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

/// Who may use an entry.
///
/// Source: DSA §3.14.1, figure 3-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Submitters {
    /// One PASID: type 0, SASS.
    One(u32),
    /// Every PASID whose bit is set in the bitmap at this 4 KiB aligned address: type 1, SAMS.
    Bitmap(u64),
}

/// Why an entry is not used: what a device answers with status 0x29, or 0x2c to an update window descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidEntry {
    /// A reserved field is not 0, fields that are reserved by others included.
    Reserved,
    /// The type is none that exists.
    Type(u8),
    /// The window is empty, or goes beyond 2^64.
    Window {
        /// First address.
        base: u64,
        /// Bytes.
        size: u64,
    },
}

/// The first 32 bytes of an entry; those behind are reserved.
///
/// Source: DSA §9.2.29. Not in uapi.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PermissionEntry {
    bytes: [u8; PermissionEntry::SIZE],
}

impl PermissionEntry {
    /// Bytes that have a meaning.
    pub const SIZE: usize = 32;

    /// An entry that gives `submitters` access to the space of `access_pasid`, usable, and not to be changed by an
    /// update window descriptor. Bits 31:20 of a PASID and bits 11:0 of a bitmap's address are dropped.
    #[must_use]
    pub fn new(access_pasid: u32, submitters: Submitters, permissions: Permissions, window: Window) -> Self {
        let mut this = Self { bytes: [0; Self::SIZE] };
        match submitters {
            Submitters::One(pasid) => {
                SUBMITTER.write(&mut this.bytes, USABLE | (pasid & PASID_MAX) << PASID_SHIFT);
            }
            Submitters::Bitmap(addr) => {
                SUBMITTER.write(&mut this.bytes, USABLE | 1 << TYPE_SHIFT);
                BITMAP_ADDR.write(&mut this.bytes, addr & !BITMAP_RESERVED);
            }
        }
        ACCESS.write(&mut this.bytes, (access_pasid & PASID_MAX) << PASID_SHIFT);
        this.with_window(permissions, window)
    }

    /// Takes the bytes of a table. Any value is accepted.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self { bytes }
    }

    /// The bytes for the table.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.bytes
    }

    /// Sets whether inter-domain descriptors may refer to it.
    #[must_use]
    pub fn with_usable(self, usable: bool) -> Self {
        self.with_bit(SUBMITTER, USABLE, usable)
    }

    /// Sets whether an update window descriptor of the owner may change the window.
    #[must_use]
    pub fn with_update(self, allowed: bool) -> Self {
        self.with_bit(SUBMITTER, ALLOW_UPDATE, allowed)
    }

    /// Sets whether memory is accessed with the privilege of the descriptor, and not as a user.
    #[must_use]
    pub fn with_descriptor_privilege(self, kept: bool) -> Self {
        self.with_bit(ACCESS, PRIVILEGE, kept)
    }

    /// Sets window and permissions, and nothing else: what an update window descriptor does.
    #[must_use]
    pub fn with_window(mut self, permissions: Permissions, window: Window) -> Self {
        let (mode, range) = match window {
            Window::Everything => (0, None),
            Window::Addresses(range) => (WINDOW_ENABLE, Some(range)),
            Window::Offsets(range) => (WINDOW_ENABLE | WINDOW_MODE, Some(range)),
        };
        let kept = ACCESS.read(&self.bytes) & !(READ | WRITE | WINDOW_ENABLE | WINDOW_MODE);
        ACCESS.write(&mut self.bytes, kept | mode | u32::from(permissions.bits()));
        WINDOW_BASE.write(&mut self.bytes, range.map_or(0, WindowRange::base));
        WINDOW_SIZE.write(&mut self.bytes, range.map_or(0, WindowRange::size));
        self
    }

    /// What becomes of this entry when `new` is written over it. What is read-only while the entry is usable, or may be
    /// updated by descriptors, stays; to change the rest of an entry, take both bits away first (table 9-10).
    #[must_use]
    pub fn overwritten(&self, new: &Self) -> Self {
        let mut this = *new;
        let (old_bits, new_bits) = (SUBMITTER.read(&self.bytes), SUBMITTER.read(&new.bytes));
        if self.is_usable() || self.allows_update() {
            let kind = 3 << TYPE_SHIFT;
            SUBMITTER.write(&mut this.bytes, new_bits & !kind | old_bits & kind);
            for range in [ACCESS.range(), WINDOW_BASE.range(), WINDOW_SIZE.range()] {
                this.bytes[range.clone()].copy_from_slice(&self.bytes[range]);
            }
        }
        if self.is_usable() {
            let kept = !(USABLE | ALLOW_UPDATE);
            SUBMITTER.write(&mut this.bytes, new_bits & !kept | old_bits & kept);
            BITMAP_ADDR.write(&mut this.bytes, BITMAP_ADDR.read(&self.bytes));
        }
        this
    }

    fn with_bit(mut self, field: Field<u32>, bit: u32, set: bool) -> Self {
        let others = field.read(&self.bytes) & !bit;
        field.write(&mut self.bytes, if set { others | bit } else { others });
        self
    }

    /// Bit 0 of bytes 3:0.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        SUBMITTER.read(&self.bytes) & USABLE != 0
    }

    /// Bit 1 of bytes 3:0.
    #[must_use]
    pub fn allows_update(&self) -> bool {
        SUBMITTER.read(&self.bytes) & ALLOW_UPDATE != 0
    }

    /// Bits 3:2 of bytes 3:0: 0 for SASS, 1 for SAMS.
    #[must_use]
    pub fn kind(&self) -> u8 {
        (self.bytes[0] >> TYPE_SHIFT) & 3
    }

    /// Bits 31:12 of bytes 7:4: whose memory is accessed.
    #[must_use]
    pub fn access_pasid(&self) -> u32 {
        ACCESS.read(&self.bytes) >> PASID_SHIFT
    }

    /// Bit 2 of bytes 7:4: with the privilege of the descriptor, and not as a user.
    #[must_use]
    pub fn keeps_privilege(&self) -> bool {
        ACCESS.read(&self.bytes) & PRIVILEGE != 0
    }

    /// Bits 1:0 of bytes 7:4.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        Permissions::from_bits(self.bytes[ACCESS.range().start])
    }

    /// Who may use it.
    ///
    /// # Errors
    ///
    /// The type does not exist.
    pub fn submitters(&self) -> Result<Submitters, InvalidEntry> {
        match self.kind() {
            0 => Ok(Submitters::One(SUBMITTER.read(&self.bytes) >> PASID_SHIFT)),
            1 => Ok(Submitters::Bitmap(BITMAP_ADDR.read(&self.bytes) & !BITMAP_RESERVED)),
            kind => Err(InvalidEntry::Type(kind)),
        }
    }

    /// The window.
    ///
    /// # Errors
    ///
    /// It is empty, or goes beyond 2^64.
    pub fn window(&self) -> Result<Window, InvalidEntry> {
        let flags = ACCESS.read(&self.bytes);
        if flags & WINDOW_ENABLE == 0 {
            return Ok(Window::Everything);
        }
        let (base, size) = (WINDOW_BASE.read(&self.bytes), WINDOW_SIZE.read(&self.bytes));
        let range = WindowRange::new(base, size).ok_or(InvalidEntry::Window { base, size })?;
        Ok(if flags & WINDOW_MODE == 0 { Window::Addresses(range) } else { Window::Offsets(range) })
    }

    /// What a device checks in an entry whoever uses it (DSA §5.6), without the types and the mode it may lack.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), InvalidEntry> {
        let submitters = self.submitters()?;
        let (submitter, access) = (SUBMITTER.read(&self.bytes), ACCESS.read(&self.bytes));
        let bitmap = BITMAP_ADDR.read(&self.bytes);
        let is_reserved_set = match submitters {
            Submitters::One(_) => bitmap != 0,
            Submitters::Bitmap(_) => bitmap & BITMAP_RESERVED != 0 || submitter >> PASID_SHIFT != 0,
        };
        let has_window = access & WINDOW_ENABLE != 0;
        let window_is_set = access & WINDOW_MODE != 0
            || WINDOW_BASE.read(&self.bytes) != 0
            || WINDOW_SIZE.read(&self.bytes) != 0;
        let is_reserved_set = is_reserved_set
            || submitter & SUBMITTER_RESERVED != 0
            || access & ACCESS_RESERVED != 0
            || (!has_window && window_is_set);
        if is_reserved_set { Err(InvalidEntry::Reserved) } else { self.window().map(|_| ()) }
    }
}

/// An entry that is all zeros, as the device has it after a reset: not usable.
impl Default for PermissionEntry {
    fn default() -> Self {
        Self { bytes: [0; Self::SIZE] }
    }
}

impl fmt::Debug for PermissionEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermissionEntry")
            .field("usable", &self.is_usable())
            .field("allows_update", &self.allows_update())
            .field("submitters", &self.submitters())
            .field("access_pasid", &self.access_pasid())
            .field("permissions", &self.permissions())
            .field("window", &self.window())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> PermissionEntry {
        let window = Window::Offsets(WindowRange::new(0x1234_5000, 0x8000).unwrap());
        PermissionEntry::new(0x54321, Submitters::One(0xabcde), Permissions::Write, window)
    }

    /// Byte for byte as the table of §9.2.29 has it.
    #[test]
    fn fields_are_where_the_table_has_them() {
        let bytes = *entry().with_update(true).with_descriptor_privilege(true).as_bytes();
        assert_eq!(bytes[..4], 0xabcd_e003_u32.to_le_bytes());
        assert_eq!(bytes[4..8], 0x5432_101e_u32.to_le_bytes());
        assert_eq!(bytes[8..16], 0x1234_5000_u64.to_le_bytes());
        assert_eq!(bytes[16..24], 0x8000_u64.to_le_bytes());
        assert_eq!(bytes[24..], [0; 8]);
        let bitmap = Submitters::Bitmap(0x7000);
        let bytes = *PermissionEntry::new(1, bitmap, Permissions::Read, Window::Everything).as_bytes();
        assert_eq!((bytes[0], bytes[4], &bytes[24..]), (0b101, 1, &0x7000_u64.to_le_bytes()[..]));
    }

    #[test]
    fn reserved_bits_are_found_one_by_one() {
        let bitmap =
            PermissionEntry::new(1, Submitters::Bitmap(0x7000), Permissions::Read, Window::Everything);
        let reserved = [
            (entry(), [4, 11].as_slice()),
            (entry(), &[32 + 5, 32 + 11]),
            (entry(), &[24 * 8, 24 * 8 + 12]),
            (bitmap, &[12, 31, 24 * 8, 24 * 8 + 11]),
            (bitmap, &[32 + 4, 64, 128]),
        ];
        for (entry, bits) in reserved {
            assert_eq!(entry.check(), Ok(()));
            for bit in bits {
                let mut bytes = *entry.as_bytes();
                bytes[bit / 8] |= 1 << (bit % 8);
                assert_eq!(
                    PermissionEntry::from_bytes(bytes).check(),
                    Err(InvalidEntry::Reserved),
                    "bit {bit}"
                );
            }
        }
    }

    #[test]
    fn unknown_type_and_bad_window_are_refused() {
        let mut bytes = *entry().as_bytes();
        bytes[0] |= 2 << 2;
        assert_eq!(PermissionEntry::from_bytes(bytes).check(), Err(InvalidEntry::Type(2)));
        let mut bytes = *entry().as_bytes();
        bytes[16..24].fill(0);
        let window = InvalidEntry::Window { base: 0x1234_5000, size: 0 };
        assert_eq!(PermissionEntry::from_bytes(bytes).check(), Err(window));
    }

    #[test]
    fn entry_in_use_changes_only_in_what_is_not_read_only() {
        let other = Window::Addresses(WindowRange::new(1, 1).unwrap());
        let new =
            PermissionEntry::new(7, Submitters::Bitmap(0x9000), Permissions::Read, other).with_usable(false);
        assert_eq!(entry().overwritten(&new), entry().with_usable(false));
        let updatable = entry().with_usable(false).with_update(true);
        let overwritten = updatable.overwritten(&new);
        assert_eq!((overwritten.access_pasid(), overwritten.window()), (0x54321, entry().window()));
        assert_eq!(overwritten.as_bytes()[24..], new.as_bytes()[24..]);
        assert!(!overwritten.allows_update() && overwritten.kind() == 0);
        assert_eq!(entry().with_usable(false).overwritten(&new), new);
    }

    #[test]
    fn update_leaves_the_rest_of_an_entry() {
        let updated = entry().with_update(true).with_window(Permissions::Read, Window::Everything);
        assert_eq!(updated.submitters(), entry().submitters());
        assert_eq!((updated.access_pasid(), updated.permissions()), (0x54321, Permissions::Read));
        assert_eq!((updated.window(), updated.allows_update()), (Ok(Window::Everything), true));
    }
}
