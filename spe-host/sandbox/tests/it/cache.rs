//! Compiled modules on disk are believed only beneath this node's seal.

use std::{fs, path::PathBuf};

use spe_sandbox::Sandbox;
use tempfile::TempDir;

use crate::fixture::{Guest, approve, choices, config, run, singles};

struct Node {
    directory: TempDir,
    sandbox: Sandbox,
}

impl Node {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        Self { sandbox: Sandbox::new(config(directory.path())).unwrap(), directory }
    }

    /// A sandbox over the same cache that cannot compile.
    fn without_compiler(&self, key: [u8; 32]) -> Sandbox {
        let mut config = config(self.directory.path());
        config.cache_key = key;
        config.compiler.program = "/nowhere".into();
        Sandbox::new(config).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.directory.path()).unwrap().map(|f| f.unwrap().path()).collect()
    }

    fn file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "one compiled module and no scratch file");
        files[0].clone()
    }
}

fn answering(number: i64) -> Vec<u8> {
    Guest::mapping(&format!("(call $answer (local.get $out) (i64.const {number}))")).wasm()
}

fn answer(sandbox: &Sandbox, wasm: &[u8]) -> Option<f64> {
    let module = approve(sandbox, wasm, choices()).ok()?;
    run(&module, &singles(&[0]))[0].as_ref().map(|numbers| numbers[0])
}

#[test]
fn a_compiled_module_is_not_compiled_again() {
    let node = Node::new();
    let wasm = answering(5);
    assert_eq!(answer(&node.without_compiler([7; 32]), &wasm), None);
    assert_eq!(answer(&node.sandbox, &wasm), Some(5.0));
    assert_eq!(answer(&node.without_compiler([7; 32]), &wasm), Some(5.0));
}

/// Loading a file that somebody bent would run their machine code on the node. It must be compiled again.
#[test]
fn a_bent_file_is_compiled_again() {
    let node = Node::new();
    let wasm = answering(5);
    assert_eq!(answer(&node.sandbox, &wasm), Some(5.0));
    let whole = fs::read(node.file()).unwrap();
    let flipped = |at: usize| {
        let mut bent = whole.clone();
        bent[at] ^= 1;
        bent
    };
    // Seal, start, middle and end; cut; longer; empty.
    let bents = [flipped(0), flipped(31), flipped(32), flipped(whole.len() / 2), flipped(whole.len() - 1)];
    let cuts = [&whole[..whole.len() - 1], &whole[..32], &whole[..31], &[], &[whole.as_slice(), b"x"].concat()]
        .map(<[u8]>::to_vec);
    for bent in bents.into_iter().chain(cuts) {
        fs::write(node.file(), &bent).unwrap();
        assert_eq!(answer(&node.without_compiler([7; 32]), &wasm), None, "a bent file was believed");
        assert_eq!(answer(&node.sandbox, &wasm), Some(5.0));
        assert_eq!(fs::read(node.file()).unwrap(), whole, "the file was not made anew");
    }
}

/// Another node's seal, or another module's file under this one's name, is no better than a bent one.
#[test]
fn a_foreign_or_swapped_file_is_compiled_again() {
    let node = Node::new();
    let (five, six) = (answering(5), answering(6));
    assert_eq!(answer(&node.sandbox, &five), Some(5.0));
    assert_eq!(answer(&node.without_compiler([8; 32]), &five), None, "another key's seal was believed");
    let five_file = node.file();
    assert_eq!(answer(&node.sandbox, &six), Some(6.0));
    let six_file = node.files().into_iter().find(|f| *f != five_file).unwrap();
    fs::copy(&five_file, &six_file).unwrap();
    assert_eq!(answer(&node.without_compiler([7; 32]), &six), None, "another module's file was believed");
    assert_eq!(answer(&node.sandbox, &six), Some(6.0));
}
