//! The fields, each by the reader that has it.

use idxd_spec::{
    ApplyDelta, Completion, CreateDelta, Descriptor, DifFlags, DifTags, DstAddr, DstDifFlags, FaultInfo,
    Flags, SrcAddr, SrcDifFlags, Status, iaa,
};

use super::program::{Layout, VALUE};

type Bytes = [u8; 64];

/// One field of a structure and how it shows in our types.
pub(crate) struct Field {
    /// `structure.field` in uapi.
    pub(crate) name: &'static str,
    check: Check,
}

enum Check {
    /// A reader sees exactly these bits, and this value; a writer, if there is one, puts it back.
    Number(fn(&Bytes) -> u64, Option<fn(u64) -> Bytes>),
    /// A reader sees exactly these bytes.
    Array(fn(&Bytes) -> Vec<u8>),
    /// A descriptor of this kind may not have a bit of it.
    Reserved(fn() -> Descriptor),
    /// A reader sees some of these bits and nothing else: uapi has not got that far.
    Inside(fn(&Bytes) -> u64),
    /// None of these readers sees it.
    Unread(&'static [fn(&Bytes) -> u64]),
}

impl Field {
    /// Compares ours with what the C program printed.
    pub(crate) fn compare(&self, theirs: &Layout) {
        let name = self.name;
        match self.check {
            Check::Number(read, write) => {
                let width: u32 = theirs.mask.iter().map(|byte| byte.count_ones()).sum();
                let value = VALUE & (u64::MAX >> (64 - width));
                assert_eq!(seen_by(read), theirs.mask, "{name}: where it is");
                assert_eq!(read(&theirs.value), value, "{name}: what it reads");
                if let Some(write) = write {
                    assert_eq!(read(&write(value)), value, "{name}: what it writes");
                }
            }
            Check::Array(read) => {
                assert_eq!(seen_by(read), theirs.mask, "{name}: where it is")
            }
            Check::Reserved(descriptor) => {
                let bytes = *descriptor().as_bytes();
                assert_eq!(descriptor().reserved_nonzero(), None, "{name}: as constructed");
                for at in (0..64).filter(|&at| theirs.mask[at] != 0) {
                    let mut set = bytes;
                    set[at] = theirs.mask[at];
                    let reserved = Descriptor::from_bytes(set).reserved_nonzero();
                    assert!(
                        reserved.is_some_and(|range| range.contains(&at)),
                        "{name}: byte {at} is not reserved"
                    );
                }
            }
            Check::Inside(read) => {
                let seen = seen_by(read);
                let outside = seen.iter().zip(theirs.mask).any(|(seen, mask)| seen & !mask != 0);
                assert!(seen != [0; 64] && !outside, "{name}: {seen:02x?}");
            }
            Check::Unread(readers) => {
                for read in readers {
                    assert_eq!(read(&theirs.mask), read(&[0; 64]), "{name}: is read");
                }
            }
        }
    }
}

/// The bits that change what `read` returns, each flipped alone.
fn seen_by<T: PartialEq>(read: impl Fn(&Bytes) -> T) -> Bytes {
    let mut seen = [0; 64];
    let nothing = read(&[0; 64]);
    for bit in 0..512 {
        let mut bytes = [0; 64];
        bytes[bit / 8] = 1 << (bit % 8);
        if read(&bytes) != nothing {
            seen[bit / 8] |= bytes[bit / 8];
        }
    }
    seen
}

/// The size of each structure.
pub(crate) fn sizes() -> [(&'static str, usize); 7] {
    [
        ("dsa_hw_desc", size_of::<Descriptor>()),
        ("dsa_raw_desc", Descriptor::noop().as_bytes().len()),
        ("dsa_completion_record", Completion::SIZE),
        ("dsa_raw_completion_record", Completion::new(Status::NONE).to_bytes().len()),
        ("iax_hw_desc", size_of::<iaa::Descriptor>()),
        ("iax_completion_record", iaa::Completion::SIZE),
        ("iax_raw_completion_record", iaa::Completion::new(Status::NONE).to_bytes().len()),
    ]
}

/// Every field of every structure.
pub(crate) fn table() -> Vec<Field> {
    let mut fields = Vec::new();
    fields.extend(dsa_descriptor());
    fields.extend(dsa_descriptor_operands());
    fields.extend(dsa_descriptor_dif());
    fields.extend(dsa_completion());
    fields.extend(iax_descriptor());
    fields.extend(iax_completion());
    fields.extend([
        array("dsa_raw_desc.field", |bytes| Descriptor::from_bytes(*bytes).as_bytes().to_vec()),
        array("dsa_raw_completion_record.field", |bytes| done(bytes).to_bytes().to_vec()),
        array("iax_raw_completion_record.field", |bytes| iaa_done(bytes).to_bytes().to_vec()),
    ]);
    fields
}

fn number(name: &'static str, read: fn(&Bytes) -> u64, write: fn(u64) -> Bytes) -> Field {
    Field { name, check: Check::Number(read, Some(write)) }
}

fn read_only(name: &'static str, read: fn(&Bytes) -> u64) -> Field {
    Field { name, check: Check::Number(read, None) }
}

fn array(name: &'static str, read: fn(&Bytes) -> Vec<u8>) -> Field {
    Field { name, check: Check::Array(read) }
}

fn reserved(name: &'static str, descriptor: fn() -> Descriptor) -> Field {
    Field { name, check: Check::Reserved(descriptor) }
}

fn inside(name: &'static str, read: fn(&Bytes) -> u64) -> Field {
    Field { name, check: Check::Inside(read) }
}

fn unread(name: &'static str, readers: &'static [fn(&Bytes) -> u64]) -> Field {
    Field { name, check: Check::Unread(readers) }
}

const SRC: SrcAddr = SrcAddr(0);
const DST: DstAddr = DstAddr(0);

fn dsa(bytes: &Bytes) -> Descriptor {
    Descriptor::from_bytes(*bytes)
}

fn iax(bytes: &Bytes) -> iaa::Descriptor {
    iaa::Descriptor::from_bytes(*bytes)
}

fn done(bytes: &Bytes) -> Completion {
    Completion::from_bytes(bytes.first_chunk().expect("32 of 64 bytes"))
}

fn iaa_done(bytes: &Bytes) -> iaa::Completion {
    iaa::Completion::from_bytes(bytes)
}

/// A record of 32 bytes in front of 32 zeros.
fn wide(completion: Completion) -> Bytes {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&completion.to_bytes());
    bytes
}

fn low8(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

fn low16(value: u64) -> u16 {
    u16::from_le_bytes(*value.to_le_bytes().first_chunk().expect("2 of 8 bytes"))
}

fn low32(value: u64) -> u32 {
    u32::from_le_bytes(*value.to_le_bytes().first_chunk().expect("4 of 8 bytes"))
}

fn flags(value: u64) -> Flags {
    Flags::from_bits_retain(low32(value))
}

fn dsa_descriptor() -> Vec<Field> {
    vec![
        number(
            "dsa_hw_desc.pasid",
            |b| dsa(b).pasid().into(),
            |v| *Descriptor::noop().with_pasid(low32(v)).as_bytes(),
        ),
        unread(
            "dsa_hw_desc.rsvd",
            &[|b| dsa(b).pasid().into(), |b| dsa(b).privileged().into(), |b| dsa(b).flags().bits().into()],
        ),
        number(
            "dsa_hw_desc.priv",
            |b| dsa(b).privileged().into(),
            |v| *Descriptor::noop().with_privileged(v != 0).as_bytes(),
        ),
        number(
            "dsa_hw_desc.flags",
            |b| dsa(b).flags().bits().into(),
            |v| *Descriptor::noop().with_flags(flags(v)).as_bytes(),
        ),
        read_only("dsa_hw_desc.opcode", |b| dsa(b).opcode().0.into()),
        number(
            "dsa_hw_desc.completion_addr",
            |b| dsa(b).completion_addr(),
            |v| *Descriptor::noop().with_completion(v).as_bytes(),
        ),
        number(
            "dsa_hw_desc.src_addr",
            |b| dsa(b).src_addr(),
            |v| *Descriptor::memmove(SrcAddr(v), DST, 0).as_bytes(),
        ),
        number(
            "dsa_hw_desc.rdback_addr",
            |b| dsa(b).readback_addr_1(),
            |v| *Descriptor::drain().with_readback_addr_1(v).as_bytes(),
        ),
        number("dsa_hw_desc.pattern", |b| dsa(b).pattern(), |v| *Descriptor::fill(v, DST, 0).as_bytes()),
        number(
            "dsa_hw_desc.desc_list_addr",
            |b| dsa(b).desc_list_addr(),
            |v| *Descriptor::batch(SrcAddr(v), 0).as_bytes(),
        ),
        number(
            "dsa_hw_desc.dst_addr",
            |b| dsa(b).dst_addr(),
            |v| *Descriptor::memmove(SRC, DstAddr(v), 0).as_bytes(),
        ),
        number(
            "dsa_hw_desc.rdback_addr2",
            |b| dsa(b).readback_addr_2(),
            |v| *Descriptor::drain().with_readback_addr_2(v).as_bytes(),
        ),
        number(
            "dsa_hw_desc.src2_addr",
            |b| dsa(b).src2_addr(),
            |v| *Descriptor::compare(SRC, SrcAddr(v), 0).as_bytes(),
        ),
        number(
            "dsa_hw_desc.comp_pattern",
            |b| dsa(b).compare_pattern_value(),
            |v| *Descriptor::compare_pattern(SRC, v, 0).as_bytes(),
        ),
        number(
            "dsa_hw_desc.xfer_size",
            |b| dsa(b).xfer_size().into(),
            |v| *Descriptor::memmove(SRC, DST, low32(v)).as_bytes(),
        ),
        number(
            "dsa_hw_desc.desc_count",
            |b| dsa(b).desc_count().into(),
            |v| *Descriptor::batch(SRC, low32(v)).as_bytes(),
        ),
        number(
            "dsa_hw_desc.int_handle",
            |b| dsa(b).int_handle().into(),
            |v| *Descriptor::noop().with_interrupt(low16(v)).as_bytes(),
        ),
        reserved("dsa_hw_desc.rsvd1", || Descriptor::memmove(SRC, DST, 0)),
        array("dsa_hw_desc.op_specific", |b| dsa(b).op_specific().to_vec()),
    ]
}

fn delta() -> CreateDelta {
    CreateDelta { src1_addr: SRC, src2_addr: SRC, xfer_size: 0, delta_addr: DST, delta_size_max: 0 }
}

fn dsa_descriptor_operands() -> Vec<Field> {
    vec![
        number(
            "dsa_hw_desc.expected_res",
            |b| dsa(b).expected_result().into(),
            |v| *Descriptor::compare(SRC, SRC, 0).with_expected_result(low8(v)).as_bytes(),
        ),
        number(
            "dsa_hw_desc.delta_addr",
            |b| dsa(b).delta_addr(),
            |v| *Descriptor::create_delta(CreateDelta { delta_addr: DstAddr(v), ..delta() }).as_bytes(),
        ),
        number(
            "dsa_hw_desc.max_delta_size",
            |b| dsa(b).delta_size_max().into(),
            |v| *Descriptor::create_delta(CreateDelta { delta_size_max: low32(v), ..delta() }).as_bytes(),
        ),
        reserved("dsa_hw_desc.delt_rsvd", || Descriptor::create_delta(delta())),
        number(
            "dsa_hw_desc.expected_res_mask",
            |b| dsa(b).expected_result_mask().into(),
            |v| *Descriptor::create_delta(delta()).with_expected_result_mask(low8(v)).as_bytes(),
        ),
        number(
            "dsa_hw_desc.delta_rec_size",
            |b| dsa(b).delta_size().into(),
            |v| {
                let delta = ApplyDelta { delta_addr: SRC, delta_size: low32(v), dst_addr: DST, xfer_size: 0 };
                *Descriptor::apply_delta(delta).as_bytes()
            },
        ),
        number(
            "dsa_hw_desc.dest2",
            |b| dsa(b).dst2_addr(),
            |v| *Descriptor::dualcast(SRC, DST, DstAddr(v), 0).as_bytes(),
        ),
        number(
            "dsa_hw_desc.crc_seed",
            |b| dsa(b).crc_seed().into(),
            |v| *Descriptor::crc(SRC, 0, low32(v)).as_bytes(),
        ),
        reserved("dsa_hw_desc.crc_rsvd", || Descriptor::crc(SRC, 0, 0)),
        number(
            "dsa_hw_desc.seed_addr",
            |b| dsa(b).crc_seed_addr(),
            |v| *Descriptor::crc(SRC, 0, 0).with_crc_seed_addr(v).as_bytes(),
        ),
    ]
}

fn dif_check(dif: DifFlags, src_dif: SrcDifFlags, tags: DifTags) -> Descriptor {
    Descriptor::dif_check(SRC, 0, dif, src_dif, tags)
}

fn dif_insert(dif: DifFlags, dst_dif: DstDifFlags, tags: DifTags) -> Descriptor {
    Descriptor::dif_insert(SRC, DST, 0, dif, dst_dif, tags)
}

fn dif_update(src: (SrcDifFlags, DifTags), dst: (DstDifFlags, DifTags)) -> Descriptor {
    Descriptor::dif_update(SRC, DST, 0, DifFlags::empty(), src, dst)
}

/// Tags with one of the three set.
fn ref_tag(value: u64) -> DifTags {
    DifTags { ref_tag: low32(value), ..DifTags::default() }
}

fn app_tag_mask(value: u64) -> DifTags {
    DifTags { app_tag_mask: low16(value), ..DifTags::default() }
}

fn app_tag(value: u64) -> DifTags {
    DifTags { app_tag: low16(value), ..DifTags::default() }
}

fn check_with(tags: DifTags) -> Bytes {
    *dif_check(DifFlags::empty(), SrcDifFlags::empty(), tags).as_bytes()
}

fn insert_with(tags: DifTags) -> Bytes {
    *dif_insert(DifFlags::empty(), DstDifFlags::empty(), tags).as_bytes()
}

fn update_with(src: DifTags, dst: DifTags) -> Bytes {
    *dif_update((SrcDifFlags::empty(), src), (DstDifFlags::empty(), dst)).as_bytes()
}

fn dsa_descriptor_dif() -> Vec<Field> {
    vec![
        number(
            "dsa_hw_desc.src_dif_flags",
            |b| dsa(b).src_dif_flags().bits().into(),
            |v| {
                let flags = SrcDifFlags::from_bits_retain(low8(v));
                *dif_check(DifFlags::empty(), flags, DifTags::default()).as_bytes()
            },
        ),
        reserved("dsa_hw_desc.dif_chk_res", || {
            dif_check(DifFlags::empty(), SrcDifFlags::empty(), DifTags::default())
        }),
        number(
            "dsa_hw_desc.dif_chk_flags",
            |b| dsa(b).dif_flags().bits().into(),
            |v| {
                let flags = DifFlags::from_bits_retain(low8(v));
                *dif_check(flags, SrcDifFlags::empty(), DifTags::default()).as_bytes()
            },
        ),
        reserved("dsa_hw_desc.dif_chk_res2", || {
            dif_check(DifFlags::empty(), SrcDifFlags::empty(), DifTags::default())
        }),
        number(
            "dsa_hw_desc.chk_ref_tag_seed",
            |b| dsa(b).src_dif_tags().ref_tag.into(),
            |v| check_with(ref_tag(v)),
        ),
        number(
            "dsa_hw_desc.chk_app_tag_mask",
            |b| dsa(b).src_dif_tags().app_tag_mask.into(),
            |v| check_with(app_tag_mask(v)),
        ),
        number(
            "dsa_hw_desc.chk_app_tag_seed",
            |b| dsa(b).src_dif_tags().app_tag.into(),
            |v| check_with(app_tag(v)),
        ),
        reserved("dsa_hw_desc.dif_ins_res", || {
            dif_insert(DifFlags::empty(), DstDifFlags::empty(), DifTags::default())
        }),
        number(
            "dsa_hw_desc.dest_dif_flag",
            |b| dsa(b).dst_dif_flags().bits().into(),
            |v| {
                let flags = DstDifFlags::from_bits_retain(low8(v));
                *dif_insert(DifFlags::empty(), flags, DifTags::default()).as_bytes()
            },
        ),
        number(
            "dsa_hw_desc.dif_ins_flags",
            |b| dsa(b).dif_flags().bits().into(),
            |v| {
                let flags = DifFlags::from_bits_retain(low8(v));
                *dif_insert(flags, DstDifFlags::empty(), DifTags::default()).as_bytes()
            },
        ),
        reserved("dsa_hw_desc.dif_ins_res2", || {
            dif_insert(DifFlags::empty(), DstDifFlags::empty(), DifTags::default())
        }),
        number(
            "dsa_hw_desc.ins_ref_tag_seed",
            |b| dsa(b).dst_dif_tags().ref_tag.into(),
            |v| insert_with(ref_tag(v)),
        ),
        number(
            "dsa_hw_desc.ins_app_tag_mask",
            |b| dsa(b).dst_dif_tags().app_tag_mask.into(),
            |v| insert_with(app_tag_mask(v)),
        ),
        number(
            "dsa_hw_desc.ins_app_tag_seed",
            |b| dsa(b).dst_dif_tags().app_tag.into(),
            |v| insert_with(app_tag(v)),
        ),
        number(
            "dsa_hw_desc.src_upd_flags",
            |b| dsa(b).src_dif_flags().bits().into(),
            |v| {
                let src = (SrcDifFlags::from_bits_retain(low8(v)), DifTags::default());
                *dif_update(src, (DstDifFlags::empty(), DifTags::default())).as_bytes()
            },
        ),
        number(
            "dsa_hw_desc.upd_dest_flags",
            |b| dsa(b).dst_dif_flags().bits().into(),
            |v| {
                let dst = (DstDifFlags::from_bits_retain(low8(v)), DifTags::default());
                *dif_update((SrcDifFlags::empty(), DifTags::default()), dst).as_bytes()
            },
        ),
        read_only("dsa_hw_desc.dif_upd_flags", |b| dsa(b).dif_flags().bits().into()),
        reserved("dsa_hw_desc.dif_upd_res", || {
            dif_update((SrcDifFlags::empty(), DifTags::default()), (DstDifFlags::empty(), DifTags::default()))
        }),
        number(
            "dsa_hw_desc.src_ref_tag_seed",
            |b| dsa(b).src_dif_tags().ref_tag.into(),
            |v| update_with(ref_tag(v), DifTags::default()),
        ),
        number(
            "dsa_hw_desc.src_app_tag_mask",
            |b| dsa(b).src_dif_tags().app_tag_mask.into(),
            |v| update_with(app_tag_mask(v), DifTags::default()),
        ),
        number(
            "dsa_hw_desc.src_app_tag_seed",
            |b| dsa(b).src_dif_tags().app_tag.into(),
            |v| update_with(app_tag(v), DifTags::default()),
        ),
        number(
            "dsa_hw_desc.dest_ref_tag_seed",
            |b| dsa(b).dst_dif_tags().ref_tag.into(),
            |v| update_with(DifTags::default(), ref_tag(v)),
        ),
        number(
            "dsa_hw_desc.dest_app_tag_mask",
            |b| dsa(b).dst_dif_tags().app_tag_mask.into(),
            |v| update_with(DifTags::default(), app_tag_mask(v)),
        ),
        number(
            "dsa_hw_desc.dest_app_tag_seed",
            |b| dsa(b).dst_dif_tags().app_tag.into(),
            |v| update_with(DifTags::default(), app_tag(v)),
        ),
    ]
}

fn record() -> Completion {
    Completion::new(Status::SUCCESS)
}

fn dsa_completion() -> Vec<Field> {
    vec![
        number(
            "dsa_completion_record.status",
            |b| done(b).status().0.into(),
            |v| wide(Completion::new(Status(low8(v)))),
        ),
        number(
            "dsa_completion_record.result",
            |b| done(b).result().into(),
            |v| wide(record().with_result(low8(v))),
        ),
        read_only("dsa_completion_record.dif_status", |b| done(b).dif_status().bits().into()),
        inside("dsa_completion_record.rsvd", |b| done(b).fault_info().0.into()),
        number(
            "dsa_completion_record.bytes_completed",
            |b| done(b).bytes_completed().into(),
            |v| wide(record().with_bytes_completed(low32(v))),
        ),
        number(
            "dsa_completion_record.fault_addr",
            |b| done(b).fault_addr(),
            |v| wide(record().with_fault(v, FaultInfo::default())),
        ),
        number(
            "dsa_completion_record.invalid_flags",
            |b| done(b).invalid_flags().bits().into(),
            |v| wide(record().with_invalid_flags(flags(v))),
        ),
        unread("dsa_completion_record.rsvd2", &[|b| done(b).invalid_flags().bits().into()]),
        number(
            "dsa_completion_record.delta_rec_size",
            |b| done(b).delta_rec_size().into(),
            |v| wide(record().with_delta_rec_size(low32(v))),
        ),
        number("dsa_completion_record.crc_val", |b| done(b).crc_val(), |v| wide(record().with_crc_val(v))),
        number(
            "dsa_completion_record.dif_chk_ref_tag",
            |b| done(b).src_dif_tags().ref_tag.into(),
            |v| wide(record().with_src_dif_tags(ref_tag(v))),
        ),
        number(
            "dsa_completion_record.dif_chk_app_tag_mask",
            |b| done(b).src_dif_tags().app_tag_mask.into(),
            |v| wide(record().with_src_dif_tags(app_tag_mask(v))),
        ),
        number(
            "dsa_completion_record.dif_chk_app_tag",
            |b| done(b).src_dif_tags().app_tag.into(),
            |v| wide(record().with_src_dif_tags(app_tag(v))),
        ),
        unread("dsa_completion_record.dif_ins_res", &[|b| done(b).dst_dif_tags().ref_tag.into()]),
        number(
            "dsa_completion_record.dif_ins_ref_tag",
            |b| done(b).dst_dif_tags().ref_tag.into(),
            |v| wide(record().with_dst_dif_tags(ref_tag(v))),
        ),
        number(
            "dsa_completion_record.dif_ins_app_tag_mask",
            |b| done(b).dst_dif_tags().app_tag_mask.into(),
            |v| wide(record().with_dst_dif_tags(app_tag_mask(v))),
        ),
        number(
            "dsa_completion_record.dif_ins_app_tag",
            |b| done(b).dst_dif_tags().app_tag.into(),
            |v| wide(record().with_dst_dif_tags(app_tag(v))),
        ),
        read_only("dsa_completion_record.dif_upd_src_ref_tag", |b| done(b).src_dif_tags().ref_tag.into()),
        read_only("dsa_completion_record.dif_upd_src_app_tag_mask", |b| {
            done(b).src_dif_tags().app_tag_mask.into()
        }),
        read_only("dsa_completion_record.dif_upd_src_app_tag", |b| done(b).src_dif_tags().app_tag.into()),
        read_only("dsa_completion_record.dif_upd_dest_ref_tag", |b| done(b).dst_dif_tags().ref_tag.into()),
        read_only("dsa_completion_record.dif_upd_dest_app_tag_mask", |b| {
            done(b).dst_dif_tags().app_tag_mask.into()
        }),
        read_only("dsa_completion_record.dif_upd_dest_app_tag", |b| done(b).dst_dif_tags().app_tag.into()),
        array("dsa_completion_record.op_specific", |b| done(b).op_specific().to_vec()),
    ]
}

fn iax_descriptor() -> Vec<Field> {
    vec![
        number(
            "iax_hw_desc.pasid",
            |b| iax(b).pasid().into(),
            |v| *iaa::Descriptor::noop().with_pasid(low32(v)).as_bytes(),
        ),
        unread(
            "iax_hw_desc.rsvd",
            &[|b| iax(b).pasid().into(), |b| iax(b).privileged().into(), |b| iax(b).flags().bits().into()],
        ),
        number(
            "iax_hw_desc.priv",
            |b| iax(b).privileged().into(),
            |v| *iaa::Descriptor::noop().with_privileged(v != 0).as_bytes(),
        ),
        number(
            "iax_hw_desc.flags",
            |b| iax(b).flags().bits().into(),
            |v| *iaa::Descriptor::noop().with_flags(flags(v)).as_bytes(),
        ),
        read_only("iax_hw_desc.opcode", |b| iax(b).opcode().0.into()),
        number(
            "iax_hw_desc.completion_addr",
            |b| iax(b).completion_addr(),
            |v| *iaa::Descriptor::noop().with_completion(v).as_bytes(),
        ),
        number(
            "iax_hw_desc.src1_addr",
            |b| iax(b).src1_addr(),
            |v| *iaa::Descriptor::memmove(SrcAddr(v), DST, 0).as_bytes(),
        ),
        number(
            "iax_hw_desc.dst_addr",
            |b| iax(b).dst_addr(),
            |v| *iaa::Descriptor::memmove(SRC, DstAddr(v), 0).as_bytes(),
        ),
        number(
            "iax_hw_desc.src1_size",
            |b| iax(b).src1_size().into(),
            |v| *iaa::Descriptor::memmove(SRC, DST, low32(v)).as_bytes(),
        ),
        number(
            "iax_hw_desc.int_handle",
            |b| iax(b).int_handle().into(),
            |v| *iaa::Descriptor::noop().with_interrupt(low16(v)).as_bytes(),
        ),
        number(
            "iax_hw_desc.compr_flags",
            |b| iax(b).compress_flags().bits().into(),
            |v| {
                let flags = iaa::CompressFlags::from_bits_retain(low16(v));
                let compress =
                    iaa::Compress { src: SRC, src_size: 0, dst: DST, dst_size_max: 0, aecs: SRC, flags };
                *iaa::Descriptor::compress(compress).as_bytes()
            },
        ),
        number(
            "iax_hw_desc.decompr_flags",
            |b| iax(b).decompress_flags().bits().into(),
            |v| *decompress(iaa::DecompressFlags::from_bits_retain(low16(v)), 0).as_bytes(),
        ),
        number(
            "iax_hw_desc.src2_addr",
            |b| iax(b).src2_addr(),
            |v| *iaa::Descriptor::noop().with_src2(v, 0).as_bytes(),
        ),
        number(
            "iax_hw_desc.max_dst_size",
            |b| iax(b).dst_size_max().into(),
            |v| *decompress(iaa::DecompressFlags::empty(), low32(v)).as_bytes(),
        ),
        number(
            "iax_hw_desc.src2_size",
            |b| iax(b).src2_size().into(),
            |v| *iaa::Descriptor::noop().with_src2(0, low32(v)).as_bytes(),
        ),
        number(
            "iax_hw_desc.filter_flags",
            |b| iax(b).filter_flags().bits().into(),
            |v| {
                let flags = iaa::FilterFlags::from_bits_retain(low32(v));
                *iaa::Descriptor::noop().with_filter(flags, 0).as_bytes()
            },
        ),
        number(
            "iax_hw_desc.num_inputs",
            |b| iax(b).input_count().into(),
            |v| *iaa::Descriptor::noop().with_filter(iaa::FilterFlags::empty(), low32(v)).as_bytes(),
        ),
    ]
}

fn decompress(flags: iaa::DecompressFlags, dst_size_max: u32) -> iaa::Descriptor {
    iaa::Descriptor::decompress(iaa::Decompress { src: SRC, src_size: 0, dst: DST, dst_size_max, flags })
}

fn iaa_record() -> iaa::Completion {
    iaa::Completion::new(Status::SUCCESS)
}

fn iax_completion() -> Vec<Field> {
    vec![
        number(
            "iax_completion_record.status",
            |b| iaa_done(b).status().0.into(),
            |v| iaa::Completion::new(Status(low8(v))).to_bytes(),
        ),
        number(
            "iax_completion_record.error_code",
            |b| iaa_done(b).error_code().0.into(),
            |v| iaa_record().with_error_code(iaa::ErrorCode(low8(v))).to_bytes(),
        ),
        inside("iax_completion_record.rsvd", |b| iaa_done(b).fault_info().0.into()),
        number(
            "iax_completion_record.bytes_completed",
            |b| iaa_done(b).bytes_completed().into(),
            |v| iaa_record().with_bytes_completed(low32(v)).to_bytes(),
        ),
        number(
            "iax_completion_record.fault_addr",
            |b| iaa_done(b).fault_addr(),
            |v| iaa_record().with_fault(v, FaultInfo::default()).to_bytes(),
        ),
        number(
            "iax_completion_record.invalid_flags",
            |b| iaa_done(b).invalid_flags().into(),
            |v| iaa_record().with_invalid_flags(low32(v)).to_bytes(),
        ),
        unread("iax_completion_record.rsvd2", IAX_READERS),
        number(
            "iax_completion_record.output_size",
            |b| iaa_done(b).output_size().into(),
            |v| iaa_record().with_output_size(low32(v)).to_bytes(),
        ),
        number(
            "iax_completion_record.output_bits",
            |b| iaa_done(b).output_bits().into(),
            |v| iaa_record().with_output_bits(low8(v)).to_bytes(),
        ),
        unread("iax_completion_record.rsvd3", IAX_READERS),
        number(
            "iax_completion_record.xor_csum",
            |b| iaa_done(b).xor_csum().into(),
            |v| iaa_record().with_xor_csum(low16(v)).to_bytes(),
        ),
        number(
            "iax_completion_record.crc",
            |b| iaa_done(b).crc().into(),
            |v| iaa_record().with_crc(low32(v)).to_bytes(),
        ),
        number(
            "iax_completion_record.min",
            |b| iaa_done(b).min().into(),
            |v| iaa_record().with_min(low32(v)).to_bytes(),
        ),
        number(
            "iax_completion_record.max",
            |b| iaa_done(b).max().into(),
            |v| iaa_record().with_max(low32(v)).to_bytes(),
        ),
        number(
            "iax_completion_record.sum",
            |b| iaa_done(b).sum().into(),
            |v| iaa_record().with_sum(low32(v)).to_bytes(),
        ),
        array("iax_completion_record.rsvd4", |b| iaa_done(b).crypto_hash().to_vec()),
    ]
}

/// The readers next to reserved fields.
const IAX_READERS: &[fn(&Bytes) -> u64] = &[
    |b| iaa_done(b).invalid_flags().into(),
    |b| iaa_done(b).output_size().into(),
    |b| iaa_done(b).output_bits().into(),
    |b| iaa_done(b).xor_csum().into(),
];
