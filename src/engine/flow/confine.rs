//! What the process of a script may do: compute, read its request and write its answer. A script that breaks out of its
//! language finds no files, no network and no other process, and little memory and time.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

/// What the process needs beside the memory of the script: the request, the answer and both as text.
const BESIDE: u64 = 128 * 1024 * 1024;

/// Takes from this process, for good, what a script has no use for. Fails where that cannot be done; then nothing may run.
///
/// `memory` is what the script may use, in bytes; `time` is what it may take.
pub(super) fn confine(memory: u64, time: Duration) -> io::Result<()> {
    limit(memory, time)?;
    #[cfg(target_os = "linux")]
    calls::forbid(calls::Scope::Process)?;
    Ok(())
}

fn limit(memory: u64, time: Duration) -> io::Result<()> {
    if let Some(taken) = address_space() {
        most(Resource::As, taken.saturating_add(memory).saturating_add(BESIDE))?;
    }
    // The language stops itself in time; this is for what does not ask it. Coming up takes a second at most.
    most(Resource::Cpu, time.as_secs().saturating_add(2))?;
    most(Resource::Nofile, 3)?;
    most(Resource::Fsize, 0)?;
    most(Resource::Core, 0)?;
    most(Resource::Nproc, 0)
}

fn most(resource: Resource, value: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?)
}

/// How much address space the program takes by itself, in bytes.
fn address_space() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split_whitespace().next()?.parse().ok()?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

#[cfg(target_os = "linux")]
mod calls {
    use std::collections::BTreeMap;
    use std::io;

    use seccompiler::SeccompCmpArgLen::{Dword, Qword};
    use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
    use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule};

    /// Of what something is taken.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(super) enum Scope {
        Process,
        #[cfg(test)]
        Thread,
    }

    /// Calls without which nothing can be computed, read or written. Whatever needs a name, an address or another process
    /// is not among them.
    const NEEDED: [i64; 20] = [
        libc::SYS_close,
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_sched_yield,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_gettimeofday,
        libc::SYS_getrandom,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    /// From now on every other system call is refused (`EPERM`).
    pub(super) fn forbid(scope: Scope) -> io::Result<()> {
        let program = filter().map_err(io::Error::other)?;
        let applied = match scope {
            Scope::Process => seccompiler::apply_filter_all_threads(&program),
            #[cfg(test)]
            Scope::Thread => seccompiler::apply_filter(&program),
        };
        applied.map_err(io::Error::other)
    }

    fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = NEEDED.iter().map(|call| (*call, Vec::new())).collect();
        let flag = |flag: i32| u64::from(flag.unsigned_abs());
        let only = |conditions: Vec<SeccompCondition>| SeccompRule::new(conditions);
        let plain = || SeccompCondition::new(2, Qword, MaskedEq(flag(libc::PROT_EXEC)), 0);
        let of_no_file =
            SeccompCondition::new(3, Qword, MaskedEq(flag(libc::MAP_ANONYMOUS)), flag(libc::MAP_ANONYMOUS))?;
        rules.insert(libc::SYS_mmap, vec![only(vec![plain()?, of_no_file])?]);
        rules.insert(libc::SYS_mprotect, vec![only(vec![plain()?])?]);
        // Whoever started the server may have left files open; they are none of a script's.
        let descriptor = |number| SeccompCondition::new(0, Dword, Eq, number);
        rules.insert(libc::SYS_read, vec![only(vec![descriptor(0)?])?]);
        rules.insert(libc::SYS_write, vec![only(vec![descriptor(1)?])?, only(vec![descriptor(2)?])?]);
        // It may end itself, and nobody else.
        let itself = SeccompCondition::new(0, Dword, Eq, u64::from(std::process::id()))?;
        rules.insert(libc::SYS_tgkill, vec![only(vec![itself])?]);
        let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        SeccompFilter::new(rules, refused, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?.try_into()
    }

    #[cfg(test)]
    mod tests {
        use std::fs;
        use std::io::{ErrorKind, Read as _, Write as _};
        use std::net::{TcpListener, TcpStream, UdpSocket};
        use std::os::unix::net::UnixStream;
        use std::process::Command;

        use super::*;

        /// What a script would do that runs machine code of its own.
        #[test]
        fn what_breaks_out_of_its_language_is_still_shut_in() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let mut inherited = fs::File::open("/etc/hostname").unwrap();
            let mut writable = fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
            let escaped = std::thread::spawn(move || {
                let before = fs::read("/etc/hostname").is_ok() && TcpStream::connect(address).is_ok();
                forbid(Scope::Thread).unwrap();
                let tried = [
                    ("reads a file", fs::read("/etc/hostname").map(drop)),
                    ("reads what it is", fs::read("/proc/self/environ").map(drop)),
                    ("lists a folder", fs::read_dir("/").map(drop)),
                    ("reads what is open", inherited.read(&mut [0; 8]).map(drop)),
                    ("writes what is open", writable.write_all(b"x")),
                    ("writes a file", fs::write("/dev/null", "x")),
                    ("removes a file", fs::remove_file("/tmp/there-is-none")),
                    ("connects", TcpStream::connect(address).map(drop)),
                    ("sends", UdpSocket::bind("127.0.0.1:0").map(drop)),
                    ("connects by name", UnixStream::connect("/run/x.sock").map(drop)),
                    ("listens", TcpListener::bind("127.0.0.1:0").map(drop)),
                    ("starts a program", Command::new("/bin/true").spawn().map(drop)),
                    ("begins a thread", std::thread::Builder::new().spawn(|| ()).map(drop)),
                    ("changes its limits", super::super::most(rustix::process::Resource::Core, 0)),
                ];
                let kinds = tried.map(|(what, outcome)| (what, outcome.map_err(|error| error.kind())));
                // What it is there for still works.
                (before, kinds, vec![7_u8; 32 * 1024 * 1024].len())
            });
            let (before, kinds, big) = escaped.join().unwrap();
            assert!(before && big == 32 * 1024 * 1024);
            for (what, outcome) in kinds {
                assert_eq!(outcome, Err(ErrorKind::PermissionDenied), "{what}");
            }
            assert!(TcpStream::connect(address).is_ok(), "the rest of the program is as it was");
        }
    }
}
