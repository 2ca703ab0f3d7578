//! Files that a program is configured with.

use std::{
    fmt, fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A file that cannot be used: which, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and what was expected.
    pub why: String,
}

impl FileError {
    /// For `map_err`: `read(..).map_err(FileError::at(path))`.
    pub fn at<E: fmt::Display>(path: &Path) -> impl FnOnce(E) -> Self {
        move |why| Self { path: path.to_owned(), why: why.to_string() }
    }
}

pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(FileError::at(path))
}

/// Writes a new file that only its owner can read.
///
/// # Errors
/// The file system's; an existing file is not replaced.
pub fn write_secret(path: &Path, secret: impl AsRef<[u8]>) -> Result<(), FileError> {
    write_new(path, secret.as_ref(), 0o600)
}

/// Writes a new file that everybody may read.
///
/// # Errors
/// The file system's; an existing file is not replaced.
pub fn write_public(path: &Path, text: &str) -> Result<(), FileError> {
    write_new(path, text.as_bytes(), 0o644)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            FileError::at(path)("it exists already, and is never overwritten: choose another name, or move it away")
        }
        _ => FileError::at(path)(error.to_string()),
    })
}
