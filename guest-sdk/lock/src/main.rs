//! `spe-guest-lock check ROOT`, or `spe-guest-lock write ROOT RUSTC CARGO` with the versions that built the modules.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use spe_guest_lock::{LOCK, check, lock};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["check", root] => check(Path::new(root)),
        ["write", root, rustc, cargo] => write(Path::new(root), rustc, cargo),
        _ => Err(io::Error::other("usage: check ROOT, or write ROOT RUSTC CARGO")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write(root: &Path, rustc: &str, cargo: &str) -> io::Result<()> {
    fs::write(root.join(LOCK), lock(root, rustc, cargo)?)
}
