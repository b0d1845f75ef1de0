//! Memory limit of the process: its control group's, or the machine's.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Origin of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The control group of this process.
    Cgroup,
    /// The machine has no more.
    Machine,
}

/// The memory that this process may use, in bytes. Never what is free: that changes, and what is
/// derived from it holds for the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The limit in bytes.
    pub bytes: u64,
    /// Its origin.
    pub source: Source,
}

impl Limit {
    /// The limit of this process; `None` where the system does not say.
    pub fn of_this_process() -> Option<Self> {
        Self::read(Path::new("/"))
    }

    /// The same below another root.
    fn read(root: &Path) -> Option<Self> {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let machine = machine(&text("proc/meminfo")?)?;
        let groups = text("proc/self/cgroup").unwrap_or_default();
        let mounts = text("proc/self/mountinfo").unwrap_or_default();
        let limits = limit_files(&groups, &mounts);
        let limits = limits.filter_map(|path| {
            let text = fs::read_to_string(root.join(path.strip_prefix("/").ok()?)).ok()?;
            // "max", or a number that means so.
            text.trim().parse::<u64>().ok()
        });
        let cgroup = limits.min().filter(|bytes| *bytes < machine);
        Some(Self {
            bytes: cgroup.unwrap_or(machine),
            source: cgroup.map_or(Source::Machine, |_| Source::Cgroup),
        })
    }
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn machine(meminfo: &str) -> Option<u64> {
    let mut lines = meminfo.lines();
    let total = lines.find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The files that may limit a process, of its group and of those above it: a group has what the
/// tightest of them leaves.
fn limit_files(groups: &str, mounts: &str) -> impl Iterator<Item = PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        // hierarchy:controllers:path
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let is_v2 = controllers.is_empty();
        if !is_v2 && controllers.split(',').all(|name| name != "memory") {
            continue;
        }
        let name = if is_v2 {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        for mount in mounts.lines().filter_map(|line| mount(line, is_v2)) {
            let (root, point) = mount;
            // In a container the group may be named by what is outside of the mount.
            let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
            let below = below.strip_prefix("/").unwrap_or(below);
            let ancestors = below.ancestors();
            files.extend(ancestors.map(|ancestor| Path::new(point).join(ancestor).join(name)));
        }
    }
    files.into_iter()
}

/// Root and mount point of a line of `mountinfo`, if control groups of memory are mounted there.
fn mount(line: &str, is_v2: bool) -> Option<(&str, &str)> {
    let (before, behind) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?, before.next()?);
    let mut behind = behind.split(' ');
    let (kind, options) = (behind.next()?, behind.nth(1).unwrap_or_default());
    let is_meant = if is_v2 {
        kind == "cgroup2"
    } else {
        kind == "cgroup" && options.split(',').any(|option| option == "memory")
    };
    is_meant.then_some((root, point))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a file")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       65536 kB\nMemFree: 1 kB\n");
    const V2: (&str, &str) = (
        "proc/self/mountinfo",
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n",
    );
    const V1: (&str, &str) = (
        "proc/self/mountinfo",
        "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
         32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    );

    fn limit(files: &[(&str, &str)]) -> Option<(u64, Source)> {
        let limit = Limit::read(root(files).path())?;
        Some((limit.bytes >> 20, limit.source))
    }

    #[test]
    fn the_tightest_group_above_a_process_is_its_limit() {
        let group = ("proc/self/cgroup", "0::/camera/peercam\n");
        let own = "sys/fs/cgroup/camera/peercam/memory.max";
        let above = "sys/fs/cgroup/camera/memory.max";
        let cgroup = |mib| Some((mib, Source::Cgroup));
        assert_eq!(
            limit(&[MEMINFO, V2, group, (own, "33554432\n"), (above, "max\n")]),
            cgroup(32)
        );
        assert_eq!(
            limit(&[MEMINFO, V2, group, (own, "max\n"), (above, "16777216\n")]),
            cgroup(16)
        );
        let group = ("proc/self/cgroup", "5:cpu:/x\n4:memory:/camera\n0::/\n");
        let own = "sys/fs/cgroup/memory/camera/memory.limit_in_bytes";
        assert_eq!(
            limit(&[MEMINFO, V1, group, (own, "50331648\n")]),
            cgroup(48)
        );
        // A container that sees its own group as the root.
        let group = ("proc/self/cgroup", "0::/docker/0123\n");
        let mount = (
            "proc/self/mountinfo",
            "30 23 0:26 /docker/0123 /sys/fs/cgroup ro - cgroup2 cgroup ro\n",
        );
        let own = "sys/fs/cgroup/memory.max";
        assert_eq!(
            limit(&[MEMINFO, mount, group, (own, "41943040")]),
            cgroup(40)
        );
    }

    #[test]
    fn without_a_limit_it_is_the_machine() {
        let machine = Some((64, Source::Machine));
        assert_eq!(limit(&[MEMINFO]), machine);
        let group = ("proc/self/cgroup", "4:memory:/\n");
        // What version 1 says for "none".
        let own = (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712",
        );
        assert_eq!(limit(&[MEMINFO, V1, group, own]), machine);
        assert_eq!(limit(&[]), None);
        assert!(Limit::of_this_process().is_some(), "Linux says");
    }
}
