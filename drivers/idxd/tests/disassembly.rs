//! The machine code of the two submitting functions, as it is in this test's own binary.
//!
//! `ENQCMD` is `F2 0F 38 F8`, `MOVDIR64B` is `66 0F 38 F8`, and `F3 0F 38 F8` is `ENQCMDS`, which only a kernel may run:
//! one byte between a submission and a crash (Intel SDM, volume 2). The functions are found by their symbols, and the
//! opcode directly behind the `SFENCE` that must come before it, so data that looks alike is not taken for it.
#![cfg(target_arch = "x86_64")]

use std::fs;

use svala_idxd::{EnqcmdPortal, Movdir64bPortal, Portal};

/// A function: its mangled name and its code.
struct Function {
    name: String,
    code: Vec<u8>,
}

fn number(bytes: &[u8], at: usize, len: usize) -> usize {
    bytes[at..at + len].iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

/// The functions of this crate's library in this binary, read from its ELF symbol table.
fn functions() -> Vec<Function> {
    let elf = fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(elf.starts_with(b"\x7fELF\x02\x01"), "64-bit little-endian ELF");
    let (table, size, count) = (number(&elf, 0x28, 8), number(&elf, 0x3a, 2), number(&elf, 0x3c, 2));
    let section = |index: usize| &elf[table + index * size..][..size];
    let offset = |index: usize| number(section(index), 0x18, 8);
    let symtab = (0..count).find(|&index| number(section(index), 4, 4) == 2).expect("a symbol table");
    let strings = offset(number(section(symtab), 0x28, 4));
    let symbols = &elf[offset(symtab)..][..number(section(symtab), 0x20, 8)];
    let mut functions = Vec::new();
    for symbol in symbols.chunks_exact(24) {
        let is_function = symbol[4] & 15 == 2;
        let name = &elf[strings + number(symbol, 0, 4)..];
        let name = String::from_utf8_lossy(&name[..name.iter().position(|&byte| byte == 0).unwrap()]);
        if !is_function || !name.contains("svala_idxd") {
            continue;
        }
        let home = number(symbol, 6, 2);
        let start = number(symbol, 8, 8) - number(section(home), 0x10, 8) + offset(home);
        let code = elf[start..start + number(symbol, 16, 8)].to_vec();
        functions.push(Function { name: name.into_owned(), code });
    }
    functions
}

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
    let functions = functions();
    let find = |words: [&str; 2]| {
        let mut found =
            functions.iter().filter(|function| words.iter().all(|word| function.name.contains(word)));
        let function = found.next().unwrap_or_else(|| panic!("no function {words:?}"));
        assert!(found.next().is_none(), "two functions {words:?}");
        function
    };
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
