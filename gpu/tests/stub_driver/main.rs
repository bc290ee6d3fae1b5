//! The probe against driver libraries that work, refuse, or lack functions. The library is chosen when it is
//! first asked for, so each case runs in a process of its own: this test binary again, in the test
//! `child`, with the stub's folder first on the library path.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

use ferropickle_gpu::{driver_present, probe};

/// Compiles `libcuda.rs` into a folder of its own and gives the folder.
fn stub(name: &str, extra: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stub_driver/libcuda.rs");
    let status = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args([
            "--edition=2021",
            "--crate-type=cdylib",
            "--crate-name=cuda",
            "--check-cfg=cfg(without_count)",
        ])
        .args(extra)
        .arg(source)
        .arg("-o")
        .arg(folder.join("libcuda.so"))
        .status()
        .unwrap();
    assert!(status.success());
    folder
}

/// What `child` prints with this library path and environment.
fn ask(library_path: &Path, env: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
        .env("LD_LIBRARY_PATH", library_path)
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{:?}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text.lines().filter(|line| line.contains("present:")).collect::<String>()
}

#[test]
#[ignore = "the other tests run it, in a process of its own"]
fn child() {
    let present = driver_present().map_or_else(|e| format!("{e:?}"), |v| v.to_string());
    let found = probe();
    assert_eq!(found, probe(), "the answer is kept");
    println!("\npresent: {present}; probe: {found:?}");
}

#[test]
fn a_driver_that_works_is_found() {
    let text = ask(&stub("works", &[]), &[("STUB_DEVICES", "2")]);
    assert_eq!(
        text,
        "present: 13.2; probe: Ok(DriverInfo { version: DriverVersion { major: 13, minor: 2 }, devices: 2 })"
    );
}

#[test]
fn a_driver_that_refuses_is_an_error_whatever_its_status() {
    let folder = stub("refuses", &[]);
    // 4242 is a status that the bindings do not know.
    for code in ["34", "803", "4242", "-1"] {
        let text = ask(&folder, &[("STUB_INIT", code)]);
        assert_eq!(
            text,
            format!("present: 13.2; probe: Err(Refused {{ call: \"cuInit\", code: {code} }})")
        );
    }
    let text = ask(&folder, &[("STUB_COUNT", "4242")]);
    assert_eq!(
        text,
        "present: 13.2; probe: Err(Refused { call: \"cuDeviceGetCount\", code: 4242 })"
    );
}

#[test]
fn a_driver_without_devices_is_an_error() {
    let folder = stub("empty", &[]);
    for env in [("STUB_INIT", "100"), ("STUB_COUNT", "100"), ("STUB_DEVICES", "0")] {
        assert_eq!(ask(&folder, &[env]), "present: 13.2; probe: Err(NoDevice)", "{env:?}");
    }
}

#[test]
fn a_driver_that_lacks_a_function_is_an_error() {
    let folder = stub("lacks", &["--cfg=without_count"]);
    assert_eq!(ask(&folder, &[]), "present: 13.2; probe: Err(MissingSymbol(\"cuDeviceGetCount\"))");
}

/// On a machine that has a driver this asks the real one; on others it must say so, and not panic.
#[test]
fn the_machine_as_it_is_gives_an_answer() {
    let text = ask(Path::new(""), &[]);
    assert!(text.starts_with("present: "), "{text}");
}
