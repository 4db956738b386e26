//! What lies in memory beside descriptors and records: the AECS of either kind and the histogram.
//!
//! `linux/idxd.h` has no structures for them. So these are the rows of the specification's tables as C structures, in their
//! order and with their widths, and the compiler says where that puts each of them: no offset is written down here.

use std::fmt::Write as _;

use idxd_spec::iaa::{Code, CompressAecs, DecompressAecs, Histogram};

use super::program;

/// IAA tables 6-20, 6-14 and 6-16 (format 1), 3-4.
const STRUCTURES: &str = "
struct compress_aecs {
    uint32_t crc;
    uint16_t xor_checksum, reserved_a;
    uint32_t reserved_b[5];
    uint16_t num_acc_bits_valid, last;
    uint8_t output_accumulator[2048 / 8];
    uint32_t literal_codes[286], reserved_c[2];
    uint32_t distance_codes[30], reserved_d[2];
};
struct decompress_aecs {
    uint32_t crc;
    uint16_t xor_checksum, reserved_a;
    uint32_t low_filter_parameter, high_filter_parameter, output_modifier_index;
    uint16_t drop_initial_bytes, reserved_b;
    uint8_t crypto_algorithm, crypto_flags;
    uint16_t crypto_accumulator_sizes;
    uint32_t reserved_c;
    uint32_t crypto_input_accumulator[6], crypto_output_accumulator[4];
    uint32_t aes_key_low[4], aes_key_high[4], reserved_d[4];
    uint32_t counter_iv[4], gcm_h[4], hash[4];
    uint32_t output_accumulator[2];
    uint8_t output_bits_valid, reserved_e[3];
    uint32_t bit_offset_for_indexing;
    uint32_t input_accumulator[64];
    uint8_t sizes[32];
    uint32_t eob_cam_entry;
    uint8_t drop_initial_bits, format;
    uint16_t reserved_f;
    uint32_t alu_first_table_index[5], alu_num_codes[5], alu_first_code[5];
    uint32_t reserved_g[(0x284 - 0x21c) / 4];
    uint32_t alu_first_len_code, ll_cam_entries[4], reserved_h[30], distance_cam[5];
    uint32_t min_length_code_length;
    uint32_t ll_mapping_table[67];
    uint16_t decompress_state, input_bits;
    uint32_t stored_block_bytes_remaining, reserved_i;
    uint32_t reserved_j[41];
    uint32_t history_buffer_write_pointer;
    uint8_t history_buffer[4096];
    uint8_t reserved_k[24];
};
struct histogram {
    uint32_t literal_counts[286], reserved[2], distance_counts[30];
};
";

/// A field, its first byte and the one behind its last, as our side changes them.
type Ours = Vec<(&'static str, usize, usize)>;

fn changed(name: &'static str, before: &[u8], after: &[u8]) -> (&'static str, usize, usize) {
    let mut differ = (0..before.len()).filter(|&at| before[at] != after[at]);
    let first = differ.next().unwrap_or_else(|| panic!("{name} changes nothing"));
    let last = differ.next_back().unwrap_or(first);
    (name, first, last + 1)
}

fn compress(name: &'static str, set: impl FnOnce(&mut CompressAecs)) -> (&'static str, usize, usize) {
    let mut aecs = CompressAecs::new();
    set(&mut aecs);
    changed(name, CompressAecs::new().as_bytes(), aecs.as_bytes())
}

fn decompress(name: &'static str, set: impl FnOnce(&mut DecompressAecs)) -> (&'static str, usize, usize) {
    let mut aecs = DecompressAecs::new();
    set(&mut aecs);
    changed(name, DecompressAecs::new().as_bytes(), aecs.as_bytes())
}

fn compress_fields() -> Ours {
    let code = Code(u32::MAX);
    vec![
        compress("compress_aecs.crc", |aecs| aecs.set_crc(u32::MAX)),
        compress("compress_aecs.xor_checksum", |aecs| aecs.set_xor_csum(u16::MAX)),
        compress("compress_aecs.num_acc_bits_valid", |aecs| aecs.set_accumulator_bits(u16::MAX)),
        compress("compress_aecs.output_accumulator", |aecs| aecs.accumulator_mut().fill(0xff)),
        compress("compress_aecs.literal_codes", |aecs| {
            (0..CompressAecs::LL_COUNT).for_each(|token| aecs.set_ll_code(token, code));
        }),
        compress("compress_aecs.distance_codes", |aecs| {
            (0..CompressAecs::D_COUNT).for_each(|token| aecs.set_d_code(token, code));
        }),
    ]
}

fn decompress_fields() -> Ours {
    vec![
        decompress("decompress_aecs.crc", |aecs| aecs.set_crc(u32::MAX)),
        decompress("decompress_aecs.xor_checksum", |aecs| aecs.set_xor_csum(u16::MAX)),
        decompress("decompress_aecs.output_accumulator", |aecs| aecs.set_output(u64::MAX)),
        decompress("decompress_aecs.output_bits_valid", |aecs| aecs.set_output_bits(u8::MAX)),
        decompress("decompress_aecs.bit_offset_for_indexing", |aecs| aecs.set_bit_offset(u32::MAX)),
        decompress("decompress_aecs.input_accumulator", |aecs| {
            (0..DecompressAecs::INPUT_WORDS).for_each(|index| aecs.set_input(index, u64::MAX, 0));
        }),
        decompress("decompress_aecs.sizes", |aecs| {
            (0..DecompressAecs::INPUT_WORDS).for_each(|index| aecs.set_input(index, 0, u8::MAX));
        }),
        decompress("decompress_aecs.drop_initial_bits", |aecs| aecs.set_drop_initial_bits(u8::MAX)),
        decompress("decompress_aecs.format", |aecs| aecs.set_format(u8::MAX)),
        decompress("decompress_aecs.ll_mapping_table", |aecs| aecs.codes_mut().fill(0xff)),
        decompress("decompress_aecs.decompress_state", |aecs| aecs.set_state(u16::MAX)),
        decompress("decompress_aecs.input_bits", |aecs| aecs.set_input_bits(u16::MAX)),
        decompress("decompress_aecs.reserved_i", |aecs| aecs.set_reserved(u32::MAX)),
        decompress("decompress_aecs.history_buffer", |aecs| aecs.history_mut().fill(0xff)),
    ]
}

fn histogram_fields() -> Ours {
    let histogram = |name, set: fn(&mut Histogram)| {
        let mut counts = Histogram::new();
        set(&mut counts);
        changed(name, &Histogram::new().to_bytes(), &counts.to_bytes())
    };
    vec![
        histogram("histogram.literal_counts", |counts| counts.literal_length = [u32::MAX; 286]),
        histogram("histogram.distance_counts", |counts| counts.distance = [u32::MAX; 30]),
    ]
}

pub(crate) fn compare() {
    let fields = [compress_fields(), decompress_fields(), histogram_fields()].concat();
    let mut body = String::new();
    for (name, ..) in &fields {
        let (structure, field) = name.split_once('.').expect("structure.field");
        writeln!(
            body,
            r#"printf("{name} %zu %zu\n", offsetof(struct {structure}, {field}),
               offsetof(struct {structure}, {field}) + sizeof(((struct {structure} *)0)->{field}));"#
        )
        .expect("a string grows");
    }
    for structure in ["compress_aecs", "decompress_aecs", "histogram"] {
        writeln!(body, r#"printf("{structure} %zu\n", sizeof(struct {structure}));"#)
            .expect("a string grows");
    }
    let theirs = program::with_structures(STRUCTURES, &body);
    let number = |name: &str, at: usize| -> usize {
        let (_, words) = theirs.iter().find(|(of, _)| of == name).expect("printed");
        words[at].parse().expect("a number")
    };
    for (name, start, end) in fields {
        assert_eq!((start, end), (number(name, 0), number(name, 1)), "{name}");
    }
    assert_eq!(number("compress_aecs", 0), CompressAecs::SIZE);
    assert_eq!(number("decompress_aecs", 0), DecompressAecs::SIZE);
    assert_eq!(number("histogram", 0), Histogram::SIZE);
}
