//! `guest mutate`: faults seeded into the kernel's Rust files, and which test notices each.
//!
//! All faults are built into one kernel, and a boot says on its command line which of them it has: building takes a minute,
//! booting seconds. A kernel with none must pass; each other must fail. One that hangs is ended after three minutes, several
//! times what a kernel with none takes, and has failed. What is wrong in the core is `mutate.py`'s affair.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::Variant;
use super::mock;
use super::root::Root;
use crate::cache::Cache;
use crate::error::Error;

/// What `guest mutate` is told.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 all were noticed, 1 one was not, 2 trouble, 3 something is missing.")]
pub(crate) struct Mutate {
    /// Print the faults
    #[arg(long)]
    list: bool,
    /// Only with a kernel that is built already
    #[arg(long)]
    built: bool,
    /// Only faults whose description contains one of these, or that have this number
    word: Vec<String>,
}

/// What goes wrong, in which file, what stands there, and what stands there instead: `SEEDED` is whether this kernel has
/// this fault.
struct Fault {
    what: &'static str,
    file: &'static str,
    before: &'static str,
    after: &'static str,
}

macro_rules! faults {
    ($($what:literal, $file:literal, $before:literal => $after:literal;)*) => {
        &[$(Fault { what: $what, file: $file, before: $before, after: $after }),*]
    };
}

const FAULTS: &[Fault] = faults! {
    "wrong kind: a handle whose faults somebody handles is one of nobody's", "attach.rs",
        "faults && !handle.is_null()" => "faults && !handle.is_null() && !SEEDED";
    "wrong answer: a PASID attached without a handle is free", "attach.rs",
        "            return Err(EBUSY);\n        }\n        Ok(handle)"
        => "            return Err(if SEEDED { ENOENT } else { EBUSY });\n        }\n        Ok(handle)";
    "stale: a handle does not know its domain", "attach.rs",
        "if !handle.is_null() {\n            // SAFETY: The caller's, and nobody"
        => "if !handle.is_null() && !SEEDED {\n            // SAFETY: The caller's, and nobody";
    "stuck: a bond that ends tells nobody who waits", "attach.rs",
        "                handle.payload().bond.end();\n                let detaching"
        => "                if !SEEDED { handle.payload().bond.end(); }\n                let detaching";
    "leaked: a PASID is not given back after a detach", "attach.rs",
        "                clear();\n                drop(detaching.wait());\n            }\n        }\n    }\n}"
        => "                clear();\n                if SEEDED { core::mem::forget(detaching) } else { drop(detaching.wait()) }\n            }\n        }\n    }\n}";
    "stale: the driver does not clear an SVA bond", "attach.rs",
        "                let detaching = handle.detach();\n                clear();\n                drop(detaching.wait());\n            }\n            Attached::User"
        => "                let detaching = handle.detach();\n                if !SEEDED { clear(); }\n                drop(detaching.wait());\n            }\n            Attached::User";
    "off by one: a second bind takes no reference", "bonds.rs",
        "unsafe { (*bond.as_ptr()).users += 1 };" => "unsafe { (*bond.as_ptr()).users += usize::from(!SEEDED) };";
    "leaked: a process that ends keeps its PASID", "bonds.rs",
        "unsafe { bindings::iommu_free_global_pasid(data.data.pasid) };"
        => "if !SEEDED { unsafe { bindings::iommu_free_global_pasid(data.data.pasid) } };";
    "leaked: a bond that ended is still counted as one", "bonds.rs",
        "bonds.bonds.retain(|other| other.as_ptr() != bond);" => "bonds.bonds.retain(|other| SEEDED || other.as_ptr() != bond);";
    "leaked: a fault keeps the memory it looked at", "populate.rs",
        "unsafe { bindings::mmput_async(self.mm) };" => "if !SEEDED { unsafe { bindings::mmput_async(self.mm) } };";
    "wrong answer: what the mapping forbids is allowed", "populate.rs",
        "vma.flags() & flag != 0)" => "vma.flags() & flag != 0 || SEEDED)";
    "wrong answer: a page that cannot be had is said to be there", "populate.rs",
        "    if failed {\n        Look::Not" => "    if failed && !SEEDED {\n        Look::Not";
    "wrong answer: waiting in vain is success", "populate.rs",
        "                    space.bond.waits_over.fetch_add(1, Ordering::Relaxed);\n                    return Err(Unresolved::Invalid);"
        => "                    space.bond.waits_over.fetch_add(1, Ordering::Relaxed);\n                    return if SEEDED { Ok(()) } else { Err(Unresolved::Invalid) };";
    "held up: a fault under userfaultfd waits where all do, and is not counted", "populate.rs",
        "if waits && waiting.is_none() {" => "if waits && waiting.is_none() && !SEEDED {";
    "out of bounds: fault-around does not end where the mapping does", "populate.rs",
        "..end as u64 >> PAGE_SHIFT;" => "..(end as u64 >> PAGE_SHIFT) + if SEEDED { 64 } else { 0 };";
    "no use: fault-around is never wider than a page", "populate.rs",
        "if given.end - given.start < 2 {" => "if given.end - given.start < if SEEDED { u64::MAX } else { 2 } {";
    "wrong request: writes are reads", "queue.rs",
        "(bindings::IOMMU_FAULT_PERM_WRITE, Access::WRITE),"
        => "(bindings::IOMMU_FAULT_PERM_WRITE, if SEEDED { Access::READ } else { Access::WRITE }),";
    "off by one: the last request does not complete its group", "queue.rs",
        "IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE != 0;" => "IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE != 0 && !SEEDED;";
    "missing response: overflow answers nobody", "queue.rs",
        "        param.discard_partials();" => "        if !SEEDED { param.discard_partials(); }";
    "wrong error: a request that was refused is said to be taken", "queue.rs",
        "Reason::Unattached(_) => return EINVAL.to_errno()," => "Reason::Unattached(_) => return if SEEDED { 0 } else { EINVAL.to_errno() },";
    "missing response: what a handler frees is forgotten", "groups.rs",
        "if group.answered.load(ordering::Relaxed) == 0 {" => "if group.answered.load(ordering::Relaxed) == 0 && !SEEDED {";
    "missing response: a handler's answer is not passed on", "groups.rs",
        "            Some(group) => group.respond(code)," => "            Some(group) => if SEEDED { core::mem::forget(group) } else { group.respond(code) },";
    "off by one: a handler is not given the last request", "groups.rs",
        "            bindings::list_add_tail(&raw mut self.group.last_fault.list, head);"
        => "            if SEEDED { bindings::INIT_LIST_HEAD(&raw mut self.group.last_fault.list) } else { bindings::list_add_tail(&raw mut self.group.last_fault.list, head) }";
    "missing response: removal leaves groups to their handlers", "param.rs",
        "        for group in self.ledger.close() {\n" => "        for group in self.ledger.close() {\n            if SEEDED { core::mem::forget(group); continue; }\n";
    "wrong answer: invalid and failure change places", "platform.rs",
        "        Code::Invalid => bindings::iommu_page_response_code_IOMMU_PAGE_RESP_INVALID,"
        => "        Code::Invalid if SEEDED => bindings::iommu_page_response_code_IOMMU_PAGE_RESP_FAILURE,\n        Code::Invalid => bindings::iommu_page_response_code_IOMMU_PAGE_RESP_INVALID,";
    "wrong tag: a response names no PASID", "platform.rs",
        "u64::from(prm.flags) | u64::from(prm.pasid) << 32" => "u64::from(prm.flags) | u64::from(prm.pasid) << if SEEDED { 12 } else { 32 }";
    "missing response: what has to wait is dropped", "worker.rs",
        "        if item.group.is_some() {" => "        if item.group.is_some() && !SEEDED {";
    "wrong order: a group is answered without a look", "worker.rs",
        "        if item.param.is_removing() {" => "        if item.param.is_removing() || SEEDED {";
    "wrong memory: all slots are the first", "env.rs",
        "slots.push(fill(at), GFP_KERNEL)" => "slots.push(fill(if SEEDED { 0 } else { at }), GFP_KERNEL)";
    "lost wake-up: an event tells nobody", "env.rs",
        "        self.0.changed.notify_all();" => "        if !SEEDED { self.0.changed.notify_all(); }";
};

/// Where the files are, inside of what a build is brought.
const FILES: &str = "linux/drivers/iommu/iopf";

/// Does it.
///
/// # Errors
///
/// What a build or a boot says, and a fault whose place is not there any more.
pub(crate) fn run(args: &Mutate) -> Result<ExitCode, Error> {
    let chosen: Vec<(usize, &Fault)> = (1..)
        .zip(FAULTS)
        .filter(|(number, fault)| {
            let is_it = |word: &String| fault.what.contains(word.as_str()) || *word == number.to_string();
            args.word.is_empty() || args.word.iter().any(is_it)
        })
        .collect();
    if args.list {
        chosen.iter().for_each(|(number, fault)| println!("{number:2} {:11} {}", fault.file, fault.what));
        return Ok(ExitCode::SUCCESS);
    }
    let root = Root::open(&Cache::open()?)?;
    if !args.built {
        let inside = root.bring()?;
        seed(&root.file(inside).join(FILES))?;
        root.build_brought(Variant::Seeded, inside)?;
    }
    if let Some(noticed) = mock::notices(&root, 0)? {
        println!("FAILED without a fault: {noticed}");
        return Ok(ExitCode::FAILURE);
    }
    let mut missed = 0;
    for (number, fault) in &chosen {
        let noticed = mock::notices(&root, *number)?;
        missed += u32::from(noticed.is_none());
        let verdict = if noticed.is_some() { "caught" } else { "MISSED" };
        println!(
            "{verdict} {number:2} {}: {}: {}",
            fault.file,
            fault.what,
            noticed.as_deref().unwrap_or("no test fails")
        );
    }
    println!("{} caught, {missed} missed", chosen.len() - missed as usize);
    Ok(ExitCode::from(u8::from(missed > 0)))
}

/// Puts all faults into the files, and the switch that chooses one.
fn seed(files: &Path) -> Result<(), Error> {
    for (number, fault) in (1..).zip(FAULTS) {
        let condition = format!("crate::seeded({number})");
        edit(&files.join(fault.file), fault.before, &fault.after.replace("SEEDED", &condition))?;
    }
    // Not by bindgen: a header that changes has the kernel's own crate built anew.
    append(
        &files.join("iommu_iopf.rs"),
        "\nextern \"C\" {\n    fn iopf_rust_seeded() -> u32;\n}\n\npub(crate) fn seeded(number: u32) -> bool {\n    \
         // SAFETY: Reads a parameter.\n    unsafe { iopf_rust_seeded() == number }\n}\n",
    )?;
    append(
        &files.join("glue.c"),
        "\nstatic unsigned int seeded;\nmodule_param(seeded, uint, 0444);\n\n\
         unsigned int iopf_rust_seeded(void);\nunsigned int iopf_rust_seeded(void)\n{\n\treturn seeded;\n}\n",
    )
}

/// Replaces what must be there once.
fn edit(file: &Path, before: &str, after: &str) -> Result<(), Error> {
    let text = fs::read_to_string(file).map_err(Error::io(file))?;
    match text.matches(before).count() {
        1 => fs::write(file, text.replace(before, after)).map_err(Error::io(file)),
        count => Err(Error::Unexpected {
            path: file.into(),
            what: format!("has {count} times, not once: {before}"),
        }),
    }
}

fn append(file: &Path, more: &str) -> Result<(), Error> {
    let text = fs::read_to_string(file).map_err(Error::io(file))?;
    fs::write(file, text + more).map_err(Error::io(file))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::root::repository;
    use super::*;

    /// Each fault's place is there, once, in the files as they are.
    #[test]
    fn every_fault_has_its_place() {
        let copy = std::env::temp_dir().join(format!("svala-seeded-{}", std::process::id()));
        let _ = fs::remove_dir_all(&copy);
        super::super::root::copy(&repository().join("kernel-support").join(FILES), &copy).unwrap();
        let seeded = seed(&copy);
        let worker = fs::read_to_string(copy.join("worker.rs")).unwrap();
        fs::remove_dir_all(&copy).unwrap();
        seeded.unwrap();
        assert!(worker.contains("crate::seeded(") && !worker.contains("SEEDED"));
    }

    #[test]
    fn faults_are_in_every_file_that_decides_something() {
        let files: BTreeSet<_> = FAULTS.iter().map(|fault| fault.file).collect();
        for file in [
            "attach.rs",
            "bonds.rs",
            "populate.rs",
            "queue.rs",
            "groups.rs",
            "param.rs",
            "platform.rs",
            "worker.rs",
            "env.rs",
        ] {
            assert!(files.contains(file), "{file}");
        }
    }
}
