//! A file that fails, and death inside of a commit: by a tracer that lets single system calls fail, or kills at them.

use tokio::task::block_in_place;

use crate::crowd::{Crowd, seed};
use crate::people::{Read, Stage};
use crate::program::Program;

/// The program under a tracer that does `injection` to its system calls.
fn start_with(program: &mut Program, injection: &str) {
    let calls = injection.split(':').next().unwrap_or_default();
    let trace = format!("trace={calls}");
    let inject = format!("inject={injection}");
    let wrapper = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    block_in_place(|| program.start_under(&wrapper));
}

/// Waits until writers were refused that often, and checks each time that reading goes on.
async fn refused(stage: &Stage, times: u64) {
    while stage.ledger.refusals() < times {
        assert_eq!(stage.read_once(0).await, Read::Answered, "what is there can be read while nothing can be written");
    }
}

/// Writes fail for a while, everybody is told, reading goes on; then they work again without a hand's turn, and after a
/// death everything acknowledged is there.
async fn file_fails(name: &str, injection: &str) {
    let seed = seed(name);
    let folder = tempfile::tempdir().expect("a folder");
    let mut program = Program::new(folder.path(), None);
    let key = program.key();
    start_with(&mut program, injection);
    let crowd = Crowd::gather(&program.url(), &key, seed).await;
    refused(&crowd.stage, 5).await;
    let before = crowd.stage.ledger.acknowledgements();
    while crowd.stage.ledger.acknowledgements() < before + 500 {
        tokio::task::yield_now().await;
    }
    block_in_place(|| {
        program.kill();
        program.start();
    });
    crowd.dismiss(&mut program).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_is_no_acknowledgement() {
    file_fails("failing syncs", "fdatasync,fsync:error=EIO:when=40..60").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_outlived() {
    file_fails("a full disk", "pwrite64:error=ENOSPC:when=400..440").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_written_is_told_and_outlived() {
    file_fails("a read-only file", "pwrite64:error=EROFS:when=400..440").await;
}

/// Death at a system call around the commit, before it is done: each write and each sync of the first commits in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_inside_a_commit_loses_nothing() {
    let seed = seed("death at each of the writes and syncs of a commit");
    let folder = tempfile::tempdir().expect("a folder");
    let mut program = Program::new(folder.path(), None);
    let key = program.key();
    block_in_place(|| program.start());
    let crowd = Crowd::gather(&program.url(), &key, seed).await;
    block_in_place(|| program.kill());
    let places = (60..90).map(|n| ("pwrite64", n)).chain((6..18).map(|n| ("fdatasync,fsync", n)));
    for (call, number) in places {
        start_with(&mut program, &format!("{call}:signal=SIGKILL:when={number}"));
        block_in_place(|| program.died());
    }
    block_in_place(|| program.start());
    crowd.dismiss(&mut program).await;
}
