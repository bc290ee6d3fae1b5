//! The crate on the simulated driver, which is built first (`tests/cudasim`). A driver is one for a process, so
//! each test runs in a process of its own: this test binary again, for that one test, with the driver's folder first on the
//! library path.
//!
//! With `FERROPICKLE_DRIVER=real` those tests run that say so (`EVERYWHERE`), on the machine's own driver; the others hold work back, let
//! calls fail or count them, which only the simulated one can.
#![cfg(target_os = "linux")]

mod contexts;
mod order;
mod peer;
mod pinned;
mod pointers;
mod sharing;
mod sharing_crash;
mod sharing_live;
mod staging;
mod staging_order;
#[allow(unsafe_code, reason = "driver calls as a user's library makes them; a fork")]
mod user;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Work that nobody waits for is held so long, in microseconds: a missing wait fails each time.
pub const HELD: (&str, &str) = ("CUDASIM_HOLD_US", "3000000");

/// The newest of the simulated drivers.
pub const NEWEST: &str = "13.2";

/// The test runs on a real driver too.
pub const EVERYWHERE: (&str, &str) = ("SIMULATED_TOO", "1");

/// Whether the driver is the machine's own.
pub fn is_real() -> bool {
    std::env::var("FERROPICKLE_DRIVER").is_ok_and(|driver| driver == "real")
}

const CHILD: &str = "SIMULATED_CHILD";

/// Builds the simulated drivers, and gives the folder with one folder for each version.
fn drivers() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cudasim");
        let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["run", "--quiet", "--locked", "-p", "ferropickle-cudasim", "--"])
            .arg(&folder)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success(), "the simulated driver was not built");
        folder
    })
}

/// Whether this process is the one that is to run the test `name`. If not, runs it in a new process on a driver
/// of this version and with this environment, and fails if that fails.
pub fn is_child(name: &str, version: &str, environment: &[(&str, &str)]) -> bool {
    // The path of a test has no crate in it.
    let name = name.split_once("::").map_or(name, |(_, path)| path);
    if std::env::var(CHILD).is_ok_and(|child| child == name) {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, name);
    if !is_real() {
        command.env("LD_LIBRARY_PATH", drivers().join(version));
    } else if !environment.contains(&EVERYWHERE) || version != NEWEST {
        eprintln!("not run: {name} needs the simulated driver");
        return false;
    }
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{:?}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// Tests, each with the environment of its process.
macro_rules! tests {
    ($($environment:expr => fn $name:ident() $body:block)*) => {$(
        #[test]
        fn $name() {
            let name = concat!(module_path!(), "::", stringify!($name));
            if crate::is_child(name, crate::NEWEST, &$environment) $body
        }
    )*};
}
pub(crate) use tests;
