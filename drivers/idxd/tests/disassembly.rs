//! The machine code of the two submitting functions, as it is in this test's own binary.
//!
//! `ENQCMD` is `F2 0F 38 F8`, `MOVDIR64B` is `66 0F 38 F8`, and `F3 0F 38 F8` is `ENQCMDS`, which only a kernel may run:
//! one byte between a submission and a crash (Intel SDM, volume 2). The functions are found by their symbols, and the
//! opcode directly behind the `SFENCE` that must come before it, so data that looks alike is not taken for it.
#![cfg(target_arch = "x86_64")]

mod elf;

use elf::{Function, functions, the_one};
use svala_idxd::{EnqcmdPortal, Movdir64bPortal, Portal};

/// Prefixes of `0F 38 F8` directly behind an `SFENCE`, with or without a REX byte.
fn after_fence(code: &[u8]) -> Vec<u8> {
    let mut prefixes = Vec::new();
    for (at, _) in code.windows(3).enumerate().filter(|(_, bytes)| *bytes == [0x0f, 0xae, 0xf8]) {
        let next = &code[at + 3..];
        let rex = usize::from(next.len() > 1 && next[1] & 0xf0 == 0x40);
        // The operand must be memory: mod is not 3.
        if next.len() > 4 + rex && next[1 + rex..4 + rex] == [0x0f, 0x38, 0xf8] && next[4 + rex] < 0xc0 {
            prefixes.push(next[0]);
        }
    }
    prefixes
}

/// Whether the code has `prefix 0F 38 F8` anywhere.
fn contains(code: &[u8], prefix: u8) -> bool {
    code.windows(5).any(|bytes| {
        bytes[0] == prefix
            && (bytes[1..4] == [0x0f, 0x38, 0xf8]
                || bytes[1] & 0xf0 == 0x40 && bytes[2..] == [0x0f, 0x38, 0xf8])
    })
}

/// Keeps the two functions in the binary.
fn keep() -> [*const (); 2] {
    std::hint::black_box([
        <EnqcmdPortal as Portal>::submit as *const (),
        <Movdir64bPortal as Portal>::submit as *const (),
    ])
}

#[test]
fn submitting_functions_have_enqcmd_and_movdir64b_and_not_enqcmds() {
    assert!(keep().iter().all(|function| !function.is_null()));
    let functions = functions("svala_idxd");
    let find = |words: [&str; 2]| the_one(&functions, &words);
    assert_eq!(after_fence(&find(["Enqcmd", "enqueue"]).code), [0xf2], "ENQCMD");
    assert_eq!(after_fence(&find(["Movdir64b", "store"]).code), [0x66], "MOVDIR64B");
    for Function { name, code } in &functions {
        assert!(!contains(code, 0xf3), "ENQCMDS in {name}");
    }
}

/// The search itself finds what it is for.
#[test]
fn the_search_tells_the_three_instructions_apart() {
    let code = |prefix: u8| [0x55, 0x0f, 0xae, 0xf8, prefix, 0x0f, 0x38, 0xf8, 0x3e, 0xc3];
    assert_eq!(after_fence(&code(0xf2)), [0xf2]);
    assert_eq!(after_fence(&code(0xf3)), [0xf3]);
    assert!(contains(&code(0xf3), 0xf3) && !contains(&code(0xf2), 0xf3));
    let with_rex = [0x0f, 0xae, 0xf8, 0xf2, 0x45, 0x0f, 0x38, 0xf8, 0x01, 0xc3];
    assert_eq!(after_fence(&with_rex), [0xf2]);
    assert_eq!(after_fence(&[0x0f, 0xae, 0xf8, 0xf2, 0x0f, 0x38, 0xf8, 0xc1, 0xc3]), [] as [u8; 0]);
}
