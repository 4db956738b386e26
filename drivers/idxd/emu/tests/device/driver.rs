//! What a driver does with a partial completion: resolve the fault, submit the rest.

use idxd_spec::{Completion, Descriptor, Resume, resume};

use crate::support::{Memory, Rig};

/// Runs a descriptor to its end as a driver would: resolves the fault by touching the page, submits the rest.
pub(crate) fn run_with_resume(
    rig: &Rig,
    descriptor: Descriptor,
    resolve: impl FnMut(&Completion),
) -> (Completion, usize) {
    let parts = parts(rig, descriptor, resolve);
    (parts.last().expect("at least one part").1, parts.len())
}

/// The same; gives every descriptor with its record.
pub(crate) fn parts(
    rig: &Rig,
    descriptor: Descriptor,
    mut resolve: impl FnMut(&Completion),
) -> Vec<(Descriptor, Completion)> {
    let mut current = descriptor;
    let mut parts = Vec::new();
    for _ in 1..2000 {
        let completion = rig.run(&current);
        parts.push((current, completion));
        match resume(&current, &completion) {
            Resume::Finished => return parts,
            Resume::Rest(rest) => {
                resolve(&completion);
                current = rest;
            }
            Resume::Whole => resolve(&completion),
            Resume::Impossible(reason) => panic!("{reason:?}: {completion:?}"),
        }
    }
    panic!("no progress");
}

/// Touches the page of the fault address, in whichever of `memories` it lies.
pub(crate) fn touch<'a>(memories: &'a [&'a Memory], len: usize) -> impl FnMut(&Completion) + 'a {
    move |completion| {
        let offset = |memory: &&&Memory| completion.fault_addr().wrapping_sub(memory.addr(0));
        let memory =
            memories.iter().find(|memory| offset(memory) < len as u64).expect("fault in one of ours");
        let at = usize::try_from(offset(&memory)).unwrap();
        let byte = memory.read(at, 1);
        memory.write(at, &byte);
    }
}
