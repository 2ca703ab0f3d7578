use std::fs;
use std::io;
use std::path::Path;

/// The digest of the files `inputs` and of everything below the folders `inputs`, all from `root`.
///
/// BLAKE3 over each file in the order of its path's bytes: path from the root with `/`, a zero byte, the length in
/// decimal, a zero byte, the contents. Below a folder, names that begin with a dot are left out.
///
/// # Errors
/// If a file cannot be read, or a path is not UTF-8.
pub fn digest(root: &Path, inputs: &[&str]) -> io::Result<String> {
    let mut files = Vec::new();
    for input in inputs {
        collect(root, input, &mut files)?;
    }
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for path in files {
        let contents = fs::read(root.join(&path))?;
        hasher.update(path.as_bytes()).update(&[0]);
        hasher.update(contents.len().to_string().as_bytes()).update(&[0]);
        hasher.update(&contents);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn collect(root: &Path, path: &str, files: &mut Vec<String>) -> io::Result<()> {
    if !root.join(path).is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(root.join(path))? {
        let name = entry?.file_name();
        let name = name.to_str().ok_or_else(|| io::Error::other(format!("{path}: a name is not UTF-8")))?;
        if !name.starts_with('.') {
            collect(root, &format!("{path}/{name}"), files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_over_paths_lengths_and_contents() {
        let root = std::env::temp_dir().join(format!("spe-guest-lock-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/two"), "22").unwrap();
        fs::write(root.join("a/.hidden"), "x").unwrap();
        fs::write(root.join("a.one"), "1").unwrap();
        let found = digest(&root, &["a", "a.one"]).unwrap();
        fs::remove_dir_all(&root).unwrap();
        // `.` sorts before `/`.
        assert_eq!(found, blake3::hash(b"a.one\x001\x001a/b/two\x002\x0022").to_hex().to_string());
    }
}
