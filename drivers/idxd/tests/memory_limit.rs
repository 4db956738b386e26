//! A copy of files larger than the memory the process may have: pages are reclaimed while it runs, and every byte is
//! right. In a test binary of its own, because a control group is a whole process's.

mod real_memory;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use real_memory::{Area, PAGE, RW, copy, noise, not_run, runtime_as, ways};

const PAGES: usize = 24 << 10;
const LIMIT_BYTES: u64 = 64 << 20;

/// A control group with a limit that this process is in, until dropped.
struct Limited {
    group: PathBuf,
    parent: PathBuf,
}

impl Limited {
    fn new() -> Option<Self> {
        let (parent, file) =
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
                .into_iter()
                .find(|(base, file)| {
                    // The root of a hierarchy of version 2 has no limit of its own, but its controllers can be had.
                    Path::new(base).join(file).exists()
                        || Path::new(base).join("cgroup.subtree_control").exists()
                            && fs::write(Path::new(base).join("cgroup.subtree_control"), "+memory").is_ok()
                })?;
        let group = Path::new(parent).join(format!("svala-test-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let this = Self { group, parent: parent.into() };
        fs::write(this.group.join(file), LIMIT_BYTES.to_string()).ok()?;
        fs::write(this.group.join("cgroup.procs"), std::process::id().to_string()).ok()?;
        Some(this)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // Out of the group, which can then go.
        let _ = fs::write(self.parent.join("cgroup.procs"), std::process::id().to_string());
        let _ = fs::remove_dir(&self.group);
    }
}

#[test]
fn a_copy_larger_than_the_limit_is_right() {
    let Some(_limited) = Limited::new() else {
        return not_run("memory limit: no control group with one can be made here");
    };
    let dir = env!("CARGO_TARGET_TMPDIR");
    let make = || {
        let file = tempfile::tempfile_in(dir).expect("a file");
        file.set_len((PAGES * PAGE) as u64).expect("room");
        file
    };
    let (from, to) = (make(), make());
    const CHUNK: usize = 256;
    for chunk in 0..PAGES / CHUNK {
        let at = (chunk * CHUNK * PAGE) as u64;
        from.write_all_at(&noise(CHUNK * PAGE, chunk as u64), at).expect("writes");
    }
    for way in ways() {
        let runtime = runtime_as(way);
        let map = |file| Area::map(PAGES, RW, libc::MAP_SHARED, Some(file)).expect("maps");
        let (src, dst) = (map(&from), map(&to));
        let report =
            copy(&runtime, &src, &dst, PAGES).unwrap_or_else(|failed| panic!("{way:?}: {}", failed.error)).1;
        println!("{way:?}: {:?}", report.faults);
        for chunk in 0..PAGES / CHUNK {
            let want = noise(CHUNK * PAGE, chunk as u64);
            assert!(dst.read(chunk * CHUNK, CHUNK) == want, "{way:?}: chunk {chunk}");
        }
        to.write_all_at(&vec![0; 1 << 20], 0).expect("writes");
    }
}
