//! What the proofs and the sources say is watched, is.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// All files below `folder` that end so.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path, ending),
            false => vec![path],
        })
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(ending)))
        .collect()
}

/// What stands in backticks after "Watched by", up to the end of the paragraph.
fn watchers(text: &str) -> Vec<String> {
    let plain = text.replace("///", "").replace("**", "");
    let paragraphs = plain.split("\n\n").flat_map(|paragraph| paragraph.split("Watched by").skip(1));
    paragraphs.flat_map(|named| named.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// A proof that names a test which is not there is watched by nobody.
#[test]
fn every_watcher_exists() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tests = ["release", "kernel", "vault"].map(|package| host.join(package).join("tests/it"));
    let tests: Vec<PathBuf> = tests.iter().flat_map(|folder| files(folder, ".rs")).collect();
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let modules: BTreeSet<String> = tests.iter().map(stem).collect();
    let exists = |name: &str| match name.split_once("::") {
        Some((module, test)) => {
            let of = tests.iter().filter(|path| stem(path) == module).map(|path| fs::read_to_string(path).unwrap());
            of.into_iter().any(|text| text.contains(&format!("fn {test}(")))
        }
        None => modules.contains(name) || ["release", "kernel", "vault"].contains(&name),
    };
    let mut named = 0;
    for path in [files(&host.join("release/src"), ".md"), files(&host.join("release/src"), ".rs")].concat() {
        for name in watchers(&fs::read_to_string(&path).unwrap()) {
            named += 1;
            assert!(exists(&name), "{} says that {name} watches it, which does not exist", path.display());
        }
    }
    assert!(named > 60, "only {named} watchers were found: no test");
}
