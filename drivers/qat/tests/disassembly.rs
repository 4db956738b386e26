//! The machine code of the two functions that access registers, as it is in this test's own binary: each has exactly one access
//! to the register, of 32 bits. `8B 07` is `mov eax, [rdi]`, `89 37` is `mov [rdi], esi`; with a prefix of 66 they are of 16
//! bits, with one of 48 of 64 (Intel SDM, volume 2).
#![cfg(target_arch = "x86_64")]

#[path = "../../idxd/tests/elf/mod.rs"]
mod elf;

use elf::{functions, the_one};
use svala_qat::RegisterMap;

/// Accesses of memory at `[rdi]`: their prefixes, opcode and operands.
fn accesses(code: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for at in 0..code.len().saturating_sub(1) {
        // Moves of a byte or of more, with extension or without, and read-modify-writes: all with mod 0 and rdi as their base.
        let is_move =
            matches!(code[at], 0x88..=0x8b | 0xb6 | 0xb7 | 0xbe | 0xbf | 0x63 | 0x86 | 0x87 | 0xc6 | 0xc7);
        if is_move && code[at + 1] & 0xc7 == 0x07 {
            let is_prefix = |byte: &u8| matches!(byte, 0x66 | 0x67 | 0xf0 | 0xf2 | 0xf3 | 0x40..=0x4f | 0x0f);
            let prefixes = code[..at].iter().rev().take_while(|byte| is_prefix(byte)).count();
            found.push(code[at - prefixes..at + 2].to_vec());
        }
    }
    found
}

#[test]
fn registers_are_accessed_by_single_moves_of_32_bits() {
    // Keeps them in the binary.
    let kept = std::hint::black_box([RegisterMap::read32 as *const (), RegisterMap::write32 as *const ()]);
    assert!(kept.iter().all(|function| !function.is_null()));
    let functions = functions("svala_qat");
    assert_eq!(accesses(&the_one(&functions, &["register", "4load"]).code), [[0x8b, 0x07]]);
    assert_eq!(accesses(&the_one(&functions, &["register", "5store"]).code), [[0x89, 0x37]]);
}

/// The search itself finds what it is for.
#[test]
fn the_search_sees_widths() {
    assert_eq!(accesses(&[0x55, 0x8b, 0x07, 0xc3]), [[0x8b, 0x07]]);
    assert_eq!(accesses(&[0x66, 0x8b, 0x07]), [[0x66, 0x8b, 0x07]]);
    assert_eq!(accesses(&[0x48, 0x89, 0x37]), [[0x48, 0x89, 0x37]]);
    assert_eq!(accesses(&[0x90, 0x8a, 0x07, 0x88, 0x07]), [[0x8a, 0x07], [0x88, 0x07]]);
    assert_eq!(accesses(&[0x0f, 0xb6, 0x07]), [[0x0f, 0xb6, 0x07]]);
    assert_eq!(accesses(&[0x8b, 0xc7, 0x48, 0x89, 0x7c, 0x24, 0x08]), [] as [[u8; 2]; 0]);
}
