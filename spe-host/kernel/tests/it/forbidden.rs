//! What must not compile does not. Each file in `tests/forbidden` would be a leak if it did; its first line names the
//! compiler's error codes, so that a typing mistake does not pass for a protection.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

/// The error codes of compiling `source` against the kernel that this test was built with.
fn error_codes(source: &Path) -> BTreeSet<String> {
    let built = std::env::current_exe().unwrap().parent().unwrap().to_path_buf();
    let libraries = std::fs::read_dir(&built).unwrap().map(|entry| entry.unwrap().path());
    let is_kernel = |p: &PathBuf| {
        p.file_name().unwrap().to_str().is_some_and(|n| n.starts_with("libspe_kernel-") && n.ends_with(".rlib"))
    };
    let kernel = libraries.filter(is_kernel).max_by_key(|p| p.metadata().unwrap().modified().unwrap()).unwrap();
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--error-format=json", "-Adead_code", "-o"])
        .arg(std::env::temp_dir().join(format!("{}.rmeta", source.file_stem().unwrap().to_str().unwrap())))
        .arg(format!("--extern=spe_kernel={}", kernel.display()))
        .arg(format!("-Ldependency={}", built.display()))
        .arg(source)
        .output()
        .unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    let message = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let errors = messages.lines().map(message).filter(|m| m["level"] == "error");
    errors.map(|m| m["code"]["code"].as_str().unwrap_or("none").to_owned()).filter(|code| code != "none").collect()
}

fn sources(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|p| p.extension().is_some_and(|e| e == "rs")).collect()
}

#[test]
fn the_forbidden_does_not_compile() {
    let cases = sources("forbidden");
    assert_eq!(cases.len(), 20);
    for case in cases {
        let text = std::fs::read_to_string(&case).unwrap();
        let expected =
            text.lines().next().and_then(|l| l.strip_prefix("//~ ")).expect("the first line names error codes");
        let expected: BTreeSet<_> = expected.split(' ').map(str::to_owned).collect();
        assert_eq!(error_codes(&case), expected, "{}", case.display());
    }
}

#[test]
fn the_way_out_does_compile() {
    for case in sources("forbidden/allowed") {
        assert_eq!(
            error_codes(&case),
            BTreeSet::new(),
            "{}: every other case may fail for the wrong reason",
            case.display()
        );
    }
}
