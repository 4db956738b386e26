//! What is checked of descriptors that name other address spaces before an entry is looked at.

use idxd_spec::{Descriptor, Flags, Opcode, Status, WindowFlags, WindowRange};

use super::field::require;
use crate::rules::Rules;

/// Whether an operand is in another address space.
pub(super) fn crosses(descriptor: &Descriptor) -> bool {
    let flags = match descriptor.opcode() {
        Opcode::TYPE_CONVERSION
        | Opcode::GATHER_COPY
        | Opcode::SCATTER_COPY
        | Opcode::SCATTER_FILL
        | Opcode::INTER_DOMAIN_COPY
        | Opcode::INTER_DOMAIN_FILL
        | Opcode::INTER_DOMAIN_COMPARE
        | Opcode::INTER_DOMAIN_COMPARE_PATTERN => Flags::ALTERNATE_SRC_PASID | Flags::ALTERNATE_DST_PASID,
        Opcode::REDUCE | Opcode::REDUCE_DUALCAST => Flags::INTER_DOMAIN_SELECTOR,
        _ => return false,
    };
    descriptor.flags().intersects(flags)
}

/// Other address spaces are known by their PASIDs, so the work queue must use PASIDs.
pub(super) fn pasid(descriptor: &Descriptor, rules: &Rules) -> Result<(), Status> {
    require(rules.pasid_enabled || !crosses(descriptor), Status::INTER_DOMAIN_NO_PASID)
}

/// The window itself; whose it is, and whether it may be changed, is seen when it is changed.
pub(super) fn update_window(descriptor: &Descriptor, rules: &Rules) -> Result<(), Status> {
    require(rules.pasid_enabled, Status::INTER_DOMAIN_NO_PASID)?;
    let flags = descriptor.window_flags();
    let (is_enabled, has_offsets) =
        (flags.contains(WindowFlags::ENABLE), flags.contains(WindowFlags::OFFSET_MODE));
    require(!has_offsets || (is_enabled && rules.id_cap.offset_mode()), Status::WINDOW_CONTROL)?;
    let range = WindowRange::new(descriptor.window_base(), descriptor.window_size());
    require(!is_enabled || range.is_some(), Status::WINDOW_CONTROL)
}

#[cfg(test)]
mod tests {
    use idxd_spec::{Alternate, DstAddr, IdptHandle, Permissions, SrcAddr, Window};

    use super::*;
    use crate::{Capabilities, DeviceKind, QueueConfig, Version};

    #[test]
    fn work_queue_without_pasid_refuses_what_needs_one() {
        let mut rules = Rules::new(&QueueConfig::default(), &Capabilities::of(DeviceKind::Dsa, Version::V3));
        let copy = Descriptor::inter_domain_copy(SrcAddr(0), DstAddr(64), 8, Alternate::Src(IdptHandle(0)));
        let update = Descriptor::update_window(IdptHandle(0), Permissions::Read, Window::Everything);
        assert_eq!((pasid(&copy, &rules), update_window(&update, &rules)), (Ok(()), Ok(())));
        rules.pasid_enabled = false;
        assert_eq!(pasid(&copy, &rules), Err(Status::INTER_DOMAIN_NO_PASID));
        assert_eq!(update_window(&update, &rules), Err(Status::INTER_DOMAIN_NO_PASID));
        assert_eq!(pasid(&Descriptor::memmove(SrcAddr(0), DstAddr(64), 8), &rules), Ok(()));
    }
}
