//! Packed elements to double words.

/// Elements one call of a kernel unpacks: they begin and end at whole bytes whatever their width.
pub(super) const GROUP: usize = 64;
/// Bytes a kernel may look at behind its last element.
const SLACK: usize = 8;
/// Bytes of the widest group.
const GROUP_BYTES_MAX: usize = GROUP * 4;

/// Elements of `width` bits (1 to 32) from element `first` on, as many as `out` has room for or `bytes` has left. Says how
/// many.
pub(super) fn unpack(bytes: &[u8], width: u8, big_endian: bool, first: u64, out: &mut [u32]) -> usize {
    let there = (bytes.len() as u64 * 8 / u64::from(width)).saturating_sub(first);
    let count = usize::try_from(there).unwrap_or(usize::MAX).min(out.len());
    let aligned = usize::try_from(first % GROUP as u64).unwrap_or(0);
    let mut group = first / GROUP as u64;
    let mut done = 0;
    let mut skip = aligned;
    let mut spare = [0; GROUP];
    while done < count {
        if skip == 0 && count - done >= GROUP {
            let Ok(whole) = <&mut [u32; GROUP]>::try_from(&mut out[done..done + GROUP]) else { break };
            unpack_group(bytes, width, big_endian, group, whole);
            done += GROUP;
        } else {
            unpack_group(bytes, width, big_endian, group, &mut spare);
            let taken = (GROUP - skip).min(count - done);
            out[done..done + taken].copy_from_slice(&spare[skip..skip + taken]);
            (done, skip) = (done + taken, 0);
        }
        group += 1;
    }
    count
}

/// Group number `group`; what is not there is zeros.
fn unpack_group(bytes: &[u8], width: u8, big_endian: bool, group: u64, out: &mut [u32; GROUP]) {
    let len = GROUP / 8 * usize::from(width);
    let from = usize::try_from(group).unwrap_or(usize::MAX).saturating_mul(len).min(bytes.len());
    match bytes.get(from..from + len + SLACK) {
        Some(bytes) => kernel(width, big_endian)(bytes, out),
        None => {
            let mut padded = [0; GROUP_BYTES_MAX + SLACK];
            let end = bytes.len().min(from + len);
            padded[..end - from].copy_from_slice(&bytes[from..end]);
            kernel(width, big_endian)(&padded[..len + SLACK], out);
        }
    }
}

type Kernel = fn(&[u8], &mut [u32; GROUP]);

fn kernel(width: u8, big_endian: bool) -> Kernel {
    macro_rules! table {
        ($kernel:ident: $($width:literal)*) => {
            match width {
                $($width => $kernel::<$width>,)*
                _ => nothing,
            }
        };
    }
    if big_endian {
        table!(big: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
    } else {
        table!(little: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
    }
}

/// Of widths that are refused before.
fn nothing(_: &[u8], out: &mut [u32; GROUP]) {
    out.fill(0);
}

fn word(bytes: &[u8], at: usize) -> [u8; 8] {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    word
}

/// The low half of a word.
pub(super) const fn low_half(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn little<const WIDTH: usize>(bytes: &[u8], out: &mut [u32; GROUP]) {
    let bytes = &bytes[..GROUP / 8 * WIDTH + SLACK];
    for (index, element) in out.iter_mut().enumerate() {
        let bit = index * WIDTH;
        let word = u64::from_le_bytes(word(bytes, bit / 8)) >> (bit % 8);
        *element = low_half(word & ((1 << WIDTH) - 1));
    }
}

fn big<const WIDTH: usize>(bytes: &[u8], out: &mut [u32; GROUP]) {
    let bytes = &bytes[..GROUP / 8 * WIDTH + SLACK];
    for (index, element) in out.iter_mut().enumerate() {
        let bit = index * WIDTH;
        let word = u64::from_be_bytes(word(bytes, bit / 8)) >> (64 - bit % 8 - WIDTH);
        *element = low_half(word & ((1 << WIDTH) - 1));
    }
}
