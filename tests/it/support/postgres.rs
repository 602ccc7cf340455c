//! A throw-away PostgreSQL for the tests, and one database in it for each test that asks.
//!
//! Under nextest every test is a process of its own, so the first one that needs the cluster starts it for the whole run
//! and the others find it by the run's id. A watchdog outside the tests stops it when the run is over, however it ended.
//! The server listens on a socket in its own folder, so it needs no free port and nobody else finds it.
//!
//! `PARLOUR_TEST_POSTGRES` names another server to use instead, by a URL of a user who may create databases.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::{env, panic, process, thread};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

/// Waits for the process `$1` to end and for a start that is under way, then stops the cluster and removes its folder
/// `$2`. The other arguments are the command that stops it.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
tail --pid="$1" -f /dev/null
folder=$2
shift 2
exec 9>"$folder.lock"
flock 9
"$@"
rm -rf "$folder" "$folder.lock"
"#;

/// An empty database of one test; dropped with the value.
pub(crate) struct Database {
    /// What `parlour serve --database` would be given.
    pub(crate) url: String,
    name: String,
    server: String,
}

impl Database {
    /// Creates a database in the run's cluster.
    pub(crate) async fn create() -> Self {
        let server = tokio::task::spawn_blocking(server_of_this_run).await;
        let server = server.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()));
        Self::create_in(&server).await
    }

    async fn create_in(server: &str) -> Self {
        let name = format!("parlour_{:016x}", getrandom::u64().expect("the system gives random numbers"));
        let mut connection =
            PgConnection::connect(server).await.unwrap_or_else(|error| panic!("failed to reach {server}: {error}"));
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(create).await.unwrap_or_else(|error| panic!("failed to create {name}: {error}"));
        connection.close().await.expect("the connection to the server closes");
        Self { url: with_database(server, &name), name, server: server.to_owned() }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (name, server) = (&self.name, &self.server);
        let drop_database = async {
            let mut connection = PgConnectOptions::from_str(server)?.connect().await?;
            connection.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await?;
            connection.close().await
        };
        // The test's own runtime cannot be waited for here. A database that stays behind goes with its cluster, and a
        // test may have stopped the server, so a failure is no fault.
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.is_ok_and(|runtime| runtime.block_on(drop_database).is_ok())
            });
        });
    }
}

/// A cluster in a folder of its own.
///
/// [`Database::create`] uses the one that all tests share. A test that stops the server starts its own.
pub(crate) struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
}

impl Cluster {
    /// A cluster for the calling test alone, which lives as long as the test's process.
    pub(crate) fn start_own() -> Self {
        let number = getrandom::u32().expect("the system gives random numbers");
        let cluster = Self::at(folder_named(&format!("{}-{number:08x}", process::id())));
        cluster.make(process::id());
        cluster
    }

    /// An empty database in this cluster.
    pub(crate) async fn create_database(&self) -> Database {
        Database::create_in(&self.url()).await
    }

    /// Stops the server at once, as a crash would: connections break and nothing is written that was not yet.
    pub(crate) fn crash(&self) {
        self.run("pg_ctl", &["stop", "--mode=immediate", "--silent"]);
    }

    /// Starts the server, waits until it has recovered and takes connections.
    pub(crate) fn start(&self) {
        let options = format!("-k {} -c listen_addresses= -c max_connections=300", self.folder.display());
        let log = self.folder.join("log");
        let log = log.to_str().expect("the folder's name is plain");
        self.run("pg_ctl", &["start", "--wait", "--silent", "--log", log, "--options", &options]);
    }

    fn at(folder: PathBuf) -> Self {
        Self { folder, programs: server_programs() }
    }

    fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.folder.display())
    }

    /// Creates and starts the cluster in its folder, to be removed when the process `owner` ends.
    fn make(&self, owner: u32) {
        if let Err(error) = DirBuilder::new().mode(0o700).create(&self.folder)
            && error.kind() != ErrorKind::AlreadyExists
        {
            panic!("failed to create {}: {error}", self.folder.display());
        }
        if runs_as_root() {
            let folder = self.folder.to_str().expect("the folder's name is plain");
            finish(Command::new("chown").args(["postgres:", folder]));
        }
        // First of all the one who cleans up, so that nothing stays behind when this process is ended half-way.
        self.watch(owner);
        // Language-aware sorting as on most servers, so that no query relies on the order of bytes.
        self.run(
            "initdb",
            &[
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--locale-provider=icu",
                "--icu-locale=en-US",
                "--no-sync",
            ],
        );
        self.start();
    }

    #[expect(clippy::zombie_processes, reason = "the watchdog outlives this process")]
    fn watch(&self, owner: u32) {
        let stop = self.command("pg_ctl", &["stop", "--mode=immediate", "--silent"]);
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &owner.to_string()])
            .arg(&self.folder)
            .arg(stop.get_program())
            .args(stop.get_args())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own group: ending a test's group must not end it.
            .process_group(0)
            .spawn();
        watchdog.expect("sh starts");
    }

    /// A server program on this cluster. PostgreSQL refuses to run as root, so root steps down first.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let program = self.programs.join(program);
        let mut command = if runs_as_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.arg("--pgdata").arg(self.folder.join("data")).args(arguments).current_dir(&self.folder);
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        finish(&mut self.command(program, arguments));
    }
}

/// The URL of the server that the tests of this run share; started by whoever asks first.
fn server_of_this_run() -> String {
    #[expect(clippy::disallowed_methods, reason = "tests are told about their surroundings by the environment")]
    let variable = |name: &str| env::var(name).ok();
    if let Some(url) = variable("PARLOUR_TEST_POSTGRES") {
        return url;
    }
    // With nextest the parent is the runner. With `cargo test`, where all tests share this process, and below a debugger
    // the cluster is for this process alone.
    let parent = parent_id();
    let is_runner = fs::read_to_string(format!("/proc/{parent}/comm")).is_ok_and(|name| name.contains("nextest"));
    let (run, owner) = match variable("NEXTEST_RUN_ID") {
        Some(run) if is_runner => (run, parent),
        _ => (process::id().to_string(), process::id()),
    };
    let cluster = Cluster::at(folder_named(&run));
    let lock = File::create(cluster.folder.with_extension("lock")).expect("the lock's file opens");
    lock.lock().expect("the lock can be taken");
    assert!(owner == process::id() || owner == parent_id(), "the test run ended while this test waited for its server");
    let ready = cluster.folder.join("ready");
    if !ready.exists() {
        // Another test may have been ended half-way.
        drop(cluster.command("pg_ctl", &["stop", "--mode=immediate", "--silent"]).output());
        drop(fs::remove_dir_all(&cluster.folder));
        cluster.make(owner);
        File::create(ready).expect("the mark can be set");
    }
    cluster.url()
}

/// A folder for a cluster. A socket's path must be short and open to the user `postgres`, so `TMPDIR` is of no use.
fn folder_named(name: &str) -> PathBuf {
    Path::new("/tmp").join(format!("parlour-postgres-{name}"))
}

fn with_database(server: &str, name: &str) -> String {
    let (address, options) =
        server.split_once('?').map_or((server, None), |(address, options)| (address, Some(options)));
    let (scheme, rest) = address.split_once("://").unwrap_or_else(|| panic!("`{server}` is no URL"));
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    format!("{scheme}://{authority}/{name}{options}")
}

/// The folder of the newest server on this machine: Debian's place, else wherever the path leads.
fn server_programs() -> PathBuf {
    let version = |folder: &PathBuf| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = versions.filter(|folder| folder.join("bin/initdb").exists()).max_by_key(version);
    let debian = newest.map(|folder| folder.join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    debian.or_else(|| env::split_paths(&path).find(|folder| folder.join("initdb").exists())).expect(
        "PostgreSQL's server programs are not installed (looked in /usr/lib/postgresql and PATH). \
         `make test` installs them; PARLOUR_TEST_POSTGRES names a running server to use instead",
    )
}

fn runs_as_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn finish(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own() {
    let (first, second) = tokio::join!(Database::create(), Database::create());
    let mut connection = PgConnection::connect(&first.url).await.unwrap();
    connection.execute("CREATE TABLE notes (text TEXT)").await.unwrap();
    assert_eq!(
        first.name,
        sqlx::query_scalar::<_, String>("SELECT current_database()").fetch_one(&mut connection).await.unwrap()
    );
    connection.close().await.unwrap();

    let mut other = PgConnection::connect(&second.url).await.unwrap();
    assert!(other.execute("SELECT * FROM notes").await.is_err(), "the databases share a table");
    let url = first.url.clone();
    drop(first);
    assert!(PgConnection::connect(&url).await.is_err(), "the database outlived its owner");
}

#[tokio::test]
async fn what_is_committed_survives_a_crash() {
    let cluster = Cluster::start_own();
    let database = cluster.create_database().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    connection.execute("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('kept')").await.unwrap();
    cluster.crash();
    assert!(connection.execute("SELECT 1").await.is_err(), "the connection outlived the server");

    cluster.start();
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    assert_eq!(
        "kept",
        sqlx::query_scalar::<_, String>("SELECT text FROM notes").fetch_one(&mut connection).await.unwrap()
    );
}
