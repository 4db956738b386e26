//! The functions of a test's own binary. For the tests of several crates.

use std::fs;

/// A function: its mangled name and its code.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) code: Vec<u8>,
}

fn number(bytes: &[u8], at: usize, len: usize) -> usize {
    bytes[at..at + len].iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

/// The functions in this binary whose mangled names contain `krate`, read from its ELF symbol table.
pub(crate) fn functions(krate: &str) -> Vec<Function> {
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
        if !is_function || !name.contains(krate) {
            continue;
        }
        let home = number(symbol, 6, 2);
        let start = number(symbol, 8, 8) - number(section(home), 0x10, 8) + offset(home);
        let code = elf[start..start + number(symbol, 16, 8)].to_vec();
        functions.push(Function { name: name.into_owned(), code });
    }
    functions
}

/// The one function whose mangled name has all these words.
pub(crate) fn the_one<'f>(functions: &'f [Function], words: &[&str]) -> &'f Function {
    let mut found = functions.iter().filter(|function| words.iter().all(|word| function.name.contains(word)));
    let function = found.next().unwrap_or_else(|| panic!("no function {words:?}"));
    assert!(found.next().is_none(), "two functions {words:?}");
    function
}
