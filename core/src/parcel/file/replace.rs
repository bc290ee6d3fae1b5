//! A file in the place of another: whole, or not at all.

use super::write::Stop;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A file that is not in its place yet: until it is, it goes with the value.
struct Draft {
    file: File,
    path: PathBuf,
    placed: bool,
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.placed {
            // There is nothing to be done about a file that cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes a file of a new name in the folder of `path`.
fn draft(path: &Path) -> io::Result<Draft> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!(".ferropickle-{}-{count}.tmp", std::process::id());
        let path = path.with_file_name(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok(Draft { file, path, placed: false }),
            // Left by a process that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Puts a file that `write` fills in the place of `path`, at once: whoever
/// opens it has the old one or the new one, whole. If anything fails the old one
/// is as it was and nothing is left beside it. `durable` waits until file and
/// name are on the disk.
///
/// A link is followed: what it points to is replaced. The permissions of a file
/// that is replaced are kept.
pub fn replace<T>(
    path: &Path,
    durable: bool,
    write: impl FnOnce(&File) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let path = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(_) => path.to_owned(),
    };
    if path.file_name().is_none() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    let mut draft = draft(&path)?;
    let outcome = write(&draft.file)?;
    if let Ok(old) = fs::metadata(&path) {
        draft.file.set_permissions(old.permissions())?;
    }
    if durable {
        draft.file.sync_all()?;
    }
    fs::rename(&draft.path, &path)?;
    draft.placed = true;
    if durable {
        sync_folder(&path)?;
    }
    Ok(outcome)
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ferropickle-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a writable folder for temporary files");
        path
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|e| e.expect("an entry").file_name().into_string().expect("ASCII")).collect()
    }

    #[test]
    fn a_file_is_replaced_or_stays() {
        let folder = folder("replace");
        let path = folder.join("data");
        let put = |text: &'static [u8], fail: bool| {
            replace(&path, true, |mut file| {
                file.write_all(text)?;
                if fail { Err(Stop::Told) } else { Ok(text.len()) }
            })
        };
        assert!(matches!(put(b"never", true), Err(Stop::Told)));
        assert!(names(&folder).is_empty());
        assert_eq!(put(b"first", false).expect("written"), 5);
        assert!(matches!(put(b"second, in part", true), Err(Stop::Told)));
        assert_eq!(fs::read(&path).expect("a file"), b"first");
        assert_eq!(put(b"third", false).expect("written"), 5);
        assert_eq!(fs::read(&path).expect("a file"), b"third");
        assert_eq!(names(&folder), ["data"]);
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn what_a_killed_process_left_is_no_obstacle() {
        let folder = folder("left");
        let path = folder.join("data");
        for count in 0..2000 {
            let name = format!(".ferropickle-{}-{count}.tmp", std::process::id());
            fs::write(folder.join(name), b"").expect("written");
        }
        replace(&path, false, |_| Ok(())).expect("a name that is free");
        assert!(path.exists());
        assert_eq!(names(&folder).len(), 2001);
        fs::remove_dir_all(&folder).expect("removed");
    }
}
