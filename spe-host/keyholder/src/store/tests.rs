//! Stores in a state that no command leaves behind: of a process that died, of an earlier version.

use std::{fs, path::Path};

use rusqlite::Connection;
use spe_kernel::{audit::Person, ids::Digest};

use super::{Rotated, SCHEMA, Store, Which};

fn operator() -> Person {
    Person { name: "account kim".into(), key: None, identity: None }
}

/// Whether a file of `dir` has these bytes.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    let files = fs::read_dir(dir).expect("a folder").map(|entry| fs::read(entry.expect("a file").path()));
    files.flatten().any(|file| file.windows(bytes.len()).any(|window| window == bytes))
}

/// What would be a bug: a process that dies when a key's destruction is certified, and leaves its bytes in a file for ever, or destroys it
/// without the certificate.
#[test]
fn a_destruction_that_was_interrupted_is_finished_by_whoever_opens_the_store() {
    let (dir, dead) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (node, care) = ("north".parse().expect("a name"), "care".parse().expect("a name"));
    Store::create(dir.path()).expect("a store");
    let mut store = Store::open(dir.path()).expect("the store");
    let keys = store.newest(&node, &care).expect("keys");
    let (data, digests) = keys.data.expose();
    store.destroy(&node, &care, Which::All, &operator(), |_| b"certified".to_vec()).expect("destroyed");
    // What a process leaves that dies here: its connection, which would tidy up, is still open.
    for entry in fs::read_dir(dir.path()).expect("a folder") {
        let entry = entry.expect("a file");
        fs::copy(entry.path(), dead.path().join(entry.file_name())).expect("a copy");
    }
    assert!(holds(dead.path(), data) && holds(dead.path(), digests), "nothing is left to be finished");
    let found = Store::open(dead.path()).expect("the store of the process that died");
    assert!(!holds(dead.path(), data) && !holds(dead.path(), digests), "key bytes are still in the folder");
    let certificates = found.certificates().expect("certificates");
    assert_eq!(certificates.iter().map(|one| one.envelope.as_slice()).collect::<Vec<_>>(), [b"certified"]);
    assert!(found.keys(&node, &care, 1).is_err(), "the key is given once more");
    let acts = found.acts().expect("acts");
    assert_eq!(
        acts.iter().map(|act| (act.did.as_str(), act.account.as_str())).collect::<Vec<_>>(),
        [("destroyed", "account kim")]
    );
}

/// What would be a bug: a key holder whose keys are gone with an upgrade; one that writes nobody's acts down afterwards.
#[test]
fn a_store_of_version_1_goes_on_with_its_keys() {
    let dir = tempfile::tempdir().expect("a folder");
    let (node, care) = ("north".parse().expect("a name"), "care".parse().expect("a name"));
    let db = Connection::open(dir.path().join(super::FILE)).expect("a file");
    db.execute_batch(SCHEMA).expect("version 1");
    db.pragma_update(None, "user_version", 1).expect("version 1");
    drop(db);
    let before = Store::open(dir.path()).expect("upgraded").newest(&node, &care).expect("keys").data;
    let mut store = Store::open(dir.path()).expect("a second time");
    assert_eq!(store.newest(&node, &care).expect("keys").data.expose().0, before.expose().0);
    store.admit(&node, Digest::of(b"certificate"), &operator()).expect("invited");
    store.rotate(&care, None, Rotated::DataKey, &operator()).expect("rotated");
    let acts = store.acts().expect("acts");
    let acts: Vec<_> = acts.iter().map(|act| (act.did.as_str(), act.dataset.as_str(), act.what.as_str())).collect();
    assert_eq!(acts, [("invited", "", ""), ("rotated", "care", "data 2")]);
    assert!(store.0.execute("UPDATE act SET account = 'account eve'", []).is_err(), "it can be put on somebody else");
    assert!(store.0.execute("DELETE FROM act", []).is_err(), "it can be taken out");
}
