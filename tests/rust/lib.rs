//! What the Rust tests of this project share: where the tree is, Rust source without its comments and texts,
//! and values out of thin air.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

pub mod parcel_parts;
pub mod values;

/// The root of the project.
///
/// Asked of Cargo when the tests run rather than when they are compiled: two clones that share a
/// target folder share the compiled tests too.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let tests = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let tests = tests.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        tests.parent().expect("tests/ lies in the root").to_owned()
    });
    &ROOT
}

/// Every file under `folder` (relative to the root) whose name ends in `.extension`, relative to the root
/// and sorted. Hidden folders and build output are left out; a folder that is not there has no files.
pub fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn visit(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "__pycache__" {
                    visit(&path, extension, found);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path.strip_prefix(root()).expect("under the root").to_owned());
            }
        }
    }
    let mut found = Vec::new();
    visit(&root().join(folder), extension, &mut found);
    found.sort();
    found
}

/// The text of a file, by its path from the root.
pub fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The words of Rust code: identifiers and numbers, without what stands in comments, strings and characters.
pub fn words(source: &str) -> Vec<String> {
    let text: Vec<char> = source.chars().collect();
    let at = |i: usize| text.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = Vec::new();
    let mut i = 0;
    while i < text.len() {
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < text.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 1;
                i += 2;
                while i < text.len() && depth > 0 {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                }
            }
            '"' => i = after_string(&text, i + 1),
            // A character, unless it is the name of a lifetime.
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < text.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            c if is_word(c) => {
                let start = i;
                while is_word(at(i)) {
                    i += 1;
                }
                let word: String = text[start..i].iter().collect();
                let raw = matches!(word.as_str(), "r" | "br" | "cr");
                let hashes = text[i..].iter().take_while(|&&c| c == '#').count();
                if raw && at(i + hashes) == '"' {
                    let close: Vec<char> =
                        std::iter::once('"').chain("#".repeat(hashes).chars()).collect();
                    i += hashes + 1;
                    while i < text.len() && !text[i..].starts_with(&close) {
                        i += 1;
                    }
                    i += close.len();
                } else {
                    words.push(word);
                }
            }
            _ => i += 1,
        }
    }
    words
}

/// The index behind the closing quote of the string that `start` is in.
fn after_string(text: &[char], start: usize) -> usize {
    let mut i = start;
    while i < text.len() {
        match text[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_code_alone() {
        let source = r##"
            // one comment
            /* two /* nested */ still two */
            fn name<'a>(x: &'a str) -> char { let s = "three \" four"; r#"five " six"#; b"seven"; '"'; '\''; '\u{41}'; 'x' }
            unsafe_code
        "##;
        assert_eq!(
            words(source),
            ["fn", "name", "a", "x", "a", "str", "char", "let", "s", "b", "unsafe_code"]
                .map(String::from)
        );
    }

    #[test]
    fn files_are_found_from_the_root() {
        assert!(files("tests/rust", "rs").contains(&PathBuf::from("tests/rust/lib.rs")));
        assert!(files("no/such/folder", "rs").is_empty());
    }
}
