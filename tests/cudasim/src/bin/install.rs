//! Puts the simulated driver into folders, one for each driver version, as `libcuda.so.1` and `libcuda.so`:
//!
//!     cargo run -p ferropickle-cudasim -- target/cudasim
//!
//! With `LD_LIBRARY_PATH=target/cudasim/13.0` a program then runs on a driver of that version.

use std::path::Path;

/// Makes the folders under `folder` out of the library beside this program.
#[cfg(target_os = "linux")]
fn install(folder: &Path) -> Result<(), String> {
    let text = |what: &Path, error: std::io::Error| format!("{}: {error}", what.display());
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let library = program.with_file_name("libcudasim.so");
    let built = std::fs::read(&library).map_err(|error| text(&library, error))?;
    for &version in cudasim::PROFILES {
        let mut copy = built.clone();
        cudasim::specialize(&mut copy, version)?;
        let place = folder.join(format!("{}.{}", version / 1000, version % 1000 / 10));
        std::fs::create_dir_all(&place).map_err(|error| text(&place, error))?;
        // Another process may have the old file mapped, or be installing too: a name changes its file
        // at once.
        let replace = |name: &str, make: &dyn Fn(&Path) -> std::io::Result<()>| {
            let fresh = place.join(format!("{name}.{}", std::process::id()));
            let target = place.join(name);
            make(&fresh)
                .and_then(|()| std::fs::rename(&fresh, &target))
                .map_err(|error| text(&target, error))
        };
        replace("libcuda.so.1", &|fresh| std::fs::write(fresh, &copy))?;
        // One file: a process that asks by both names must get one driver.
        replace("libcuda.so", &|fresh| std::os::unix::fs::symlink("libcuda.so.1", fresh))?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn install(_: &Path) -> Result<(), String> {
    Err("the simulated driver needs Linux".into())
}

fn main() -> Result<(), String> {
    let folder = std::env::args_os().nth(1).ok_or("name the folder to install into")?;
    install(Path::new(&folder))
}
