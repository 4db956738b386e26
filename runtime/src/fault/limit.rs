//! How much memory this process may have: the tightest limit of its control groups.
//!
//! Populating far ahead in a small group only pushes out what was populated before, so windows and stretches stay well
//! below the limit. Read once, when the runtime starts: pages that go away before the device comes to them shrink the
//! window whatever the reason ([`Window::shrink`](super::Window::shrink)).

use std::fs;
use std::path::{Path, PathBuf};

/// The tightest limit, in bytes; none without control groups or limits.
pub(crate) fn memory_bytes_max() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    tightest(&groups, Path::new("/sys/fs/cgroup"))
}

/// The tightest limit of the groups in a `/proc/self/cgroup`, whose file systems are below `root`.
fn tightest(groups: &str, root: &Path) -> Option<u64> {
    groups.lines().filter_map(|line| tightest_of_line(line, root)).min()
}

fn tightest_of_line(line: &str, root: &Path) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let path = Path::new(path.trim_start_matches('/'));
    let (bases, files): (Vec<PathBuf>, &[&str]) = if controllers.is_empty() {
        (vec![root.to_path_buf(), root.join("unified")], &["memory.max", "memory.high"])
    } else if controllers.split(',').any(|controller| controller == "memory") {
        (vec![root.join("memory")], &["memory.limit_in_bytes"])
    } else {
        return None;
    };
    let of_group = |group: &Path| files.iter().filter_map(|file| limit(&group.join(file))).min();
    // In a container the path may be the host's: the group mounted at the base is then the one that counts.
    let all = bases.iter().flat_map(|base| path.ancestors().map(move |group| base.join(group)));
    all.filter_map(|group| of_group(&group)).min()
}

/// A limit of a file; none for "max", and for what version 1 writes instead: almost 2^63.
fn limit(file: &Path) -> Option<u64> {
    let bytes = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (bytes < 1 << 60).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, path: &str, file: &str, text: &str) {
        let dir = root.join(path);
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join(file), text).expect("a file");
    }

    #[test]
    fn the_tightest_of_all_groups_above_counts() {
        let root = tempfile::tempdir().expect("a directory");
        group(root.path(), "a/b/c", "memory.max", "max\n");
        group(root.path(), "a/b", "memory.max", "1048576\n");
        group(root.path(), "a", "memory.high", "524288\n");
        assert_eq!(tightest("0::/a/b/c\n", root.path()), Some(524_288));
        assert_eq!(tightest("0::/x\n", root.path()), None);
    }

    #[test]
    fn version_1_has_its_own_hierarchy() {
        let root = tempfile::tempdir().expect("a directory");
        group(root.path(), "memory/a", "memory.limit_in_bytes", "8192\n");
        group(root.path(), "memory", "memory.limit_in_bytes", "9223372036854771712\n");
        let groups = "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n";
        assert_eq!(tightest(groups, root.path()), Some(8192));
        assert_eq!(tightest("4:memory:/\n", root.path()), None);
    }

    #[test]
    fn nonsense_is_no_limit() {
        let root = tempfile::tempdir().expect("a directory");
        group(root.path(), "a", "memory.max", "much\n");
        for groups in ["", "::", "0", "0::", "0::/a", "x:memory:/a", "\u{0}"] {
            assert_eq!(tightest(groups, root.path()), None, "{groups:?}");
        }
    }
}
