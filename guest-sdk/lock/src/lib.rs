//! `guest-sdk/modules.lock`: what the checked-in modules are, and what they were built from.
//!
//! A lock is made from the repository's files and two lines about the toolchain, so checking it is making it again and
//! comparing the text: an edited source without a rebuilt module fails on every machine, without a wasm toolchain.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

mod exports;
mod inputs;

pub use inputs::digest as inputs_digest;

/// The lock, from the repository's root.
pub const LOCK: &str = "guest-sdk/modules.lock";

/// Where guest crates lie, and where their modules are checked in.
pub const FOLDERS: [(&str, &str); 2] = [("examples", "examples/modules"), ("guest-sdk/evil", "guest-sdk/evil/modules")];

/// Inputs of every module: files, and folders with everything below them.
pub const SHARED_INPUTS: [&str; 6] = [
    "guest-sdk/.cargo/config.toml",
    "guest-sdk/Cargo.lock",
    "guest-sdk/Cargo.toml",
    "guest-sdk/abi",
    "guest-sdk/debian-rust.sha256",
    "guest-sdk/rust",
];

const HEADER: &str = "\
# Written by `ci/guests update`; `ci/guests verify` rebuilds every module and compares the bytes.
# `inputs_blake3` is over the files of `inputs.shared` and of the module's `source`: see docs/guest-guide.md.
version = 1
";

/// A guest crate.
pub struct Guest {
    /// The name of the package.
    pub name: String,
    /// The folder of its sources, from the root.
    pub source: String,
    /// The checked-in module, from the root.
    pub module: String,
}

/// Every guest crate of the repository at `root`, by folder and name.
///
/// # Errors
/// If a folder cannot be read.
pub fn guests(root: &Path) -> io::Result<Vec<Guest>> {
    let mut guests = Vec::new();
    for (folder, modules) in FOLDERS {
        for name in names(&root.join(folder))? {
            let source = format!("{folder}/{name}");
            if root.join(&source).join("Cargo.toml").is_file() {
                guests.push(Guest { source, module: format!("{modules}/{name}.wasm"), name });
            }
        }
    }
    Ok(guests)
}

/// The lock of the repository at `root`, whose modules `rustc` and `cargo` (versions, as they say them) built.
///
/// # Errors
/// If a file cannot be read, or a module is not WebAssembly.
pub fn lock(root: &Path, rustc: &str, cargo: &str) -> io::Result<String> {
    let mut text = String::from(HEADER);
    let _ =
        write!(text, "\n[toolchain]\nrustc = {rustc:?}\ncargo = {cargo:?}\n\n[inputs]\nshared = {SHARED_INPUTS:?}\n");
    for guest in guests(root)? {
        text.push_str(&entry(root, &guest)?);
    }
    Ok(text)
}

/// Whether the lock of the repository at `root` is what its files say; the error names the first line that is not.
///
/// # Errors
/// If it is not, or a file cannot be read.
pub fn check(root: &Path) -> io::Result<()> {
    let locked = fs::read_to_string(root.join(LOCK))?;
    let field = |name: &str| {
        let line = locked.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        line.map(|value| value.trim_matches('"').to_owned()).unwrap_or_default()
    };
    let expected = lock(root, &field("rustc"), &field("cargo"))?;
    match first_difference(&locked, &expected) {
        None => Ok(()),
        Some(at) => Err(io::Error::other(format!("{LOCK}: {at}\nrun `ci/guests update`"))),
    }
}

fn entry(root: &Path, guest: &Guest) -> io::Result<String> {
    let module = fs::read(root.join(&guest.module)).map_err(|e| io::Error::other(format!("{}: {e}", guest.module)))?;
    let inputs: Vec<&str> = SHARED_INPUTS.into_iter().chain([guest.source.as_str()]).collect();
    let (imports, exports) = exports::names(&module).map_err(io::Error::other)?;
    Ok(format!(
        "\n[[module]]\nname = {:?}\npath = {:?}\nsource = {:?}\nbytes = {}\nblake3 = \"{}\"\ninputs_blake3 = \"{}\"\n\
         imports = {imports:?}\nexports = {exports:?}\n",
        guest.name,
        guest.module,
        guest.source,
        module.len(),
        blake3::hash(&module),
        inputs_digest(root, &inputs)?,
    ))
}

/// The first line that differs, with the module whose entry it is in.
fn first_difference(locked: &str, expected: &str) -> Option<String> {
    let mut module = String::from("the head");
    for (number, (is, should)) in locked.lines().zip(expected.lines()).enumerate() {
        if let Some(name) = should.strip_prefix("name = ") {
            name.clone_into(&mut module);
        }
        if is != should {
            return Some(format!("line {}, {module}:\n  is     {is}\n  should {should}", number + 1));
        }
    }
    (locked != expected).then(|| "modules were added or removed".to_owned())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let paths: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    let mut names: Vec<String> =
        paths.iter().filter_map(|path| path.file_name()?.to_str().map(ToOwned::to_owned)).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_names_the_module() {
        let locked = "version = 1\nname = \"a\"\nbytes = 1\nname = \"b\"\nbytes = 2\n";
        let at = first_difference(locked, &locked.replace("bytes = 2", "bytes = 3")).unwrap();
        assert!(at.starts_with("line 5, \"b\":"), "{at}");
        assert!(first_difference(locked, &locked.replace("name = \"b\"\nbytes = 2\n", "")).is_some());
        assert_eq!(first_difference(locked, locked), None);
    }
}
