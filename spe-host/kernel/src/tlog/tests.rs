//! The tree against RFC 6962's own vectors and against a plain reading of its definition; notes against published ones.

#![expect(clippy::cast_possible_truncation, reason = "sizes of trees in tests are small")]

use std::collections::HashMap;

use super::*;
use crate::dsse::SecretKey;

/// A tree in memory.
#[derive(Default)]
struct Tree {
    nodes: HashMap<(u32, u64), TreeHash>,
    leaves: Vec<TreeHash>,
}

impl Tree {
    fn of(size: u64) -> Self {
        let mut tree = Self::default();
        (0..size).for_each(|i| tree.push(&i.to_le_bytes()));
        tree
    }

    fn push(&mut self, entry: &[u8]) {
        let (index, leaf) = (self.leaves.len() as u64, TreeHash::of_entry(entry));
        for (level, at, hash) in appended(index, leaf, |l, i| self.read(l, i)).expect("an append") {
            self.nodes.insert((level, at), hash);
        }
        self.leaves.push(leaf);
    }

    fn read(&self, level: u32, index: u64) -> Result<TreeHash, (u32, u64)> {
        self.nodes.get(&(level, index)).copied().ok_or((level, index))
    }

    fn root(&self, size: u64) -> TreeHash {
        root(size, |l, i| self.read(l, i)).expect("a root")
    }

    fn inclusion(&self, index: u64, size: u64) -> Vec<TreeHash> {
        inclusion(index, size, |l, i| self.read(l, i)).expect("a proof")
    }

    fn consistency(&self, old: u64, new: u64) -> Vec<TreeHash> {
        consistency(old, new, |l, i| self.read(l, i)).expect("a proof")
    }
}

/// RFC 6962, 2.1, word for word.
fn mth(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => TreeHash::of_nothing(),
        [one] => *one,
        many => {
            let (mut k, n) = (1, many.len());
            while k * 2 < n {
                k *= 2;
            }
            TreeHash::of_both(mth(&many[..k]), mth(&many[k..]))
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal")).collect()
}

/// What would be a bug: another tree than that of Certificate Transparency, whose reference vectors these are.
#[test]
fn the_reference_vectors_hold() {
    let entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut tree = Tree::default();
    assert_eq!(
        tree.root(0).as_bytes().to_vec(),
        unhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    );
    for (i, (entry, root)) in entries.iter().zip(roots).enumerate() {
        tree.push(&unhex(entry));
        assert_eq!(tree.root(i as u64 + 1).as_bytes().to_vec(), unhex(root), "root of the first {} entries", i + 1);
    }
    let path = |hashes: &[&str]| hashes.iter().map(|h| unhex(h)).collect::<Vec<_>>();
    let bytes = |hashes: Vec<TreeHash>| hashes.iter().map(|h| h.as_bytes().to_vec()).collect::<Vec<_>>();
    assert_eq!(
        bytes(tree.inclusion(5, 8)),
        path(&[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ])
    );
    assert_eq!(
        bytes(tree.consistency(6, 8)),
        path(&[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ])
    );
}

/// What would be a bug: a proof of any size that does not hold, or one that holds for another leaf, place, size or root.
#[test]
fn every_proof_of_every_size_holds_and_only_for_what_it_says() {
    let tree = Tree::of(200);
    for size in 1..=200_u64 {
        let root = tree.root(size);
        assert_eq!(root, mth(&tree.leaves[..size as usize]), "root of {size}");
        for index in 0..size {
            let (leaf, path) = (tree.leaves[index as usize], tree.inclusion(index, size));
            assert_eq!(verify_inclusion(leaf, index, (size, root), &path), Ok(()), "{index} of {size}");
            if size > 70 {
                continue;
            }
            let other = tree.leaves[(index as usize + 1) % 200];
            assert!(verify_inclusion(other, index, (size, root), &path).is_err(), "another leaf at {index} of {size}");
            assert!(verify_inclusion(leaf, index + 1, (size, root), &path).is_err(), "{index} elsewhere in {size}");
            for at in 0..path.len() {
                let mut bent = path.clone();
                bent[at] = TreeHash::of_both(bent[at], bent[at]);
                assert!(
                    verify_inclusion(leaf, index, (size, root), &bent).is_err(),
                    "a bent path of {index} in {size}"
                );
            }
            let longer = [path.as_slice(), &[leaf]].concat();
            assert!(verify_inclusion(leaf, index, (size, root), &longer).is_err(), "a path that is too long");
            if let Some((_, shorter)) = path.split_last() {
                assert!(verify_inclusion(leaf, index, (size, root), shorter).is_err(), "a path that is too short");
            }
        }
        for old in 0..=size {
            let (before, path) = ((old, tree.root(old)), tree.consistency(old, size));
            assert_eq!(verify_consistency(before, (size, root), &path), Ok(()), "{old} to {size}");
            let other = (old, TreeHash::of_entry(b"another history"));
            assert!(verify_consistency(other, (size, root), &path).is_err(), "another history of {old} in {size}");
            if let Some(at) = (old as usize).checked_rem(path.len()) {
                let mut bent = path.clone();
                bent[at] = TreeHash::of_both(bent[at], bent[at]);
                assert!(verify_consistency(before, (size, root), &bent).is_err(), "a bent path of {old} to {size}");
            }
        }
    }
    assert!(verify_consistency((5, tree.root(5)), (4, tree.root(4)), &[]).is_err(), "a tree that shrank");
}

/// What would be a bug: entries in another order, or with one byte changed, under the same root.
#[test]
fn no_byte_and_no_order_can_change() {
    let entries: Vec<Vec<u8>> = (0..50_u8).map(|i| vec![i; 20]).collect();
    let of = |entries: &[Vec<u8>]| {
        let mut tree = Tree::default();
        entries.iter().for_each(|e| tree.push(e));
        tree.root(entries.len() as u64)
    };
    let whole = of(&entries);
    for i in 0..50 {
        let mut bent = entries.clone();
        bent[i][i % 20] ^= 1;
        assert_ne!(of(&bent), whole, "a flipped bit in entry {i}");
        let mut swapped = entries.clone();
        swapped.swap(i, (i + 1) % 50);
        assert_ne!(of(&swapped), whole, "entries {i} and its neighbour swapped");
    }
}

fn log_key() -> (SecretKey, NoteKey) {
    let secret = SecretKey::from_seed(&[3; 32]);
    let key = NoteKey::new("spe.node/north", secret.public(), KeyType::Log).expect("a key");
    (secret, key)
}

fn checkpoint(tree: &Tree, size: u64) -> SignedCheckpoint {
    let checkpoint = Checkpoint { origin: "spe.node/north".into(), size, root: tree.root(size) };
    checkpoint.sign(&log_key().0).expect("a checkpoint")
}

/// What would be a bug: notes that other tools cannot read, or that this one reads otherwise. The note, its key and its signature
/// are the example of golang.org/x/mod/sumdb/note, which the specification comes from.
#[test]
fn a_published_note_verifies() {
    let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let bytes = STANDARD.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").expect("the key");
    let key: PublicKey = format!("ed25519:{}", STANDARD.encode(&bytes[1..])).parse().expect("a key");
    let key = NoteKey::new("PeterNeumann", key, KeyType::Log).expect("a key");
    assert_eq!(key.vkey(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    let read = note::Note::parse(note).expect("a note");
    let signatures = read.by(&key).expect("a signature");
    assert_eq!(signatures.len(), 1);
    assert!(key.key().verify_bytes(read.text.as_bytes(), signatures[0]).is_ok(), "the published signature");
    assert!(key.key().verify_bytes(b"other text", signatures[0]).is_err());
}

use crate::dsse::PublicKey;

/// What would be a bug: a checkpoint or cosignature of which a byte can be changed.
#[test]
fn a_flipped_byte_of_a_checkpoint_shows() {
    let (_, key) = log_key();
    let hub = SecretKey::from_seed(&[4; 32]);
    let witness = NoteKey::new("spe.hub/1", hub.public(), KeyType::Cosigner).expect("a key");
    let signed = checkpoint(&Tree::of(9), 9);
    let line = signed.cosign("spe.hub/1", &hub, 1_700_000_000).expect("a cosignature");
    let signed = signed.with_cosignature(&line, &witness).expect("a cosignature that holds");
    assert_eq!(signed.cosigned_at(&witness), Ok(1_700_000_000));
    assert_eq!(SignedCheckpoint::open(signed.note(), &key).map(|s| s.tree()), Ok(signed.tree()));
    let note = signed.note().as_bytes();
    for at in 0..note.len() {
        let mut bent = note.to_vec();
        bent[at] ^= 1;
        let Ok(bent) = String::from_utf8(bent) else { continue };
        let opened = SignedCheckpoint::open(&bent, &key).and_then(|s| s.cosigned_at(&witness));
        assert!(opened.is_err(), "a flip at byte {at} went unnoticed: {bent}");
    }
    let other = NoteKey::new("spe.hub/1", log_key().0.public(), KeyType::Cosigner).expect("a key");
    assert!(matches!(signed.cosigned_at(&other), Err(LogError::Unsigned { .. })), "another witness of that name");
}

/// What would be a bug: a key that signs as a log and is taken for a witness, or the other way round.
#[test]
fn a_log_is_not_its_own_witness() {
    let (secret, key) = log_key();
    let signed = checkpoint(&Tree::of(3), 3);
    let own = NoteKey::new("spe.node/north", secret.public(), KeyType::Cosigner).expect("a key");
    assert_ne!(own.id(), key.id());
    assert!(signed.cosigned_at(&own).is_err());
}

/// What would be a bug: a receipt that is read otherwise than it was written, or that holds with another entry.
#[test]
fn a_receipt_says_what_is_in_the_log() {
    let (tree, (_, key)) = (Tree::of(70), log_key());
    for index in [0_u64, 1, 41, 63, 64, 69] {
        let (entry, path) = (index.to_le_bytes().to_vec(), tree.inclusion(index, 70));
        let plain = LogProof { entry, opening: None, index, path, checkpoint: checkpoint(&tree, 70).note().into() };
        assert_eq!(LogProof::parse(&plain.to_text()), Ok(plain.clone()));
        let proof = LogProof { opening: Some(b"what it\nstands for".to_vec()), ..plain };
        let read = LogProof::parse(&proof.to_text()).expect("a proof");
        assert_eq!(read, proof);
        assert!(read.verify(&key).is_ok(), "entry {index}");
        let other = LogProof { entry: b"another".to_vec(), ..read.clone() };
        assert!(matches!(other.verify(&key), Err(LogError::NotProven { .. })), "another entry at {index}");
        assert!(LogProof { index: (index + 1) % 70, ..read }.verify(&key).is_err(), "entry {index} elsewhere");
    }
    for wrong in
        ["", "c2sp.org/tlog-proof@v1\nindex 0\n\nx", "c2sp.org/tlog-proof@v1\nextra AA==\nindex 01\n\nx", "\n\n"]
    {
        assert!(LogProof::parse(wrong).is_err(), "{wrong:?} was taken for a proof");
    }
}

/// What would be a bug: a witness that signs a second history or a shorter log, or does not sign the same again.
#[test]
fn a_witness_signs_only_what_continues() {
    let (_, key) = log_key();
    let (tree, mut other) = (Tree::of(40), Tree::of(20));
    (0..20).for_each(|_| other.push(b"rewritten"));
    let ask = |tree: &Tree, old, new| Ask {
        old,
        path: tree.consistency(old, new),
        checkpoint: checkpoint(tree, new).note().into(),
    };
    let known = Some(Known { size: 30, root: tree.root(30) });
    let read = Ask::parse(&ask(&tree, 30, 40).to_text()).expect("a request");
    assert!(matches!(judge(known, &read, &key), Ok(Verdict::Consistent(s)) if s.checkpoint().size == 40));
    assert!(matches!(judge(known, &ask(&tree, 30, 30), &key), Ok(Verdict::Consistent(_))), "the same again");
    assert!(matches!(judge(None, &ask(&tree, 0, 40), &key), Ok(Verdict::Consistent(_))), "the first");
    assert!(matches!(judge(known, &ask(&tree, 10, 40), &key), Ok(Verdict::Unknown { size: 30 })));
    assert!(matches!(judge(known, &ask(&tree, 20, 20), &key), Ok(Verdict::Shorter(_))));
    assert!(matches!(judge(known, &ask(&other, 30, 40), &key), Ok(Verdict::Forked(_))));
    assert!(matches!(judge(known, &ask(&other, 30, 30), &key), Ok(Verdict::Forked(_))), "two roots of one size");
    let strange = NoteKey::new("spe.node/north", SecretKey::from_seed(&[9; 32]).public(), KeyType::Log).expect("a key");
    assert!(judge(known, &ask(&tree, 30, 40), &strange).is_err(), "a log that is not the node's");
}

/// What would be a bug: a message that was damaged, or made by somebody who cannot sign for the log, that is kept as evidence against it; or
/// a fork that it has signed and that is not.
#[test]
fn a_witness_accuses_of_nothing_that_was_not_signed() {
    let (_, key) = log_key();
    let tree = Tree::of(60);
    for old in 1..50_u64 {
        let mut other = Tree::of(old - 1);
        (old - 1..60).for_each(|_| other.push(b"rewritten"));
        let known = Some(Known { size: old, root: tree.root(old) });
        let ask =
            |tree: &Tree, path| judge(known, &Ask { old, path, checkpoint: checkpoint(tree, 60).note().into() }, &key);
        let path = tree.consistency(old, 60);
        assert!(matches!(ask(&tree, path.clone()), Ok(Verdict::Consistent(_))), "{old}");
        // Of a power of two, the path from the next size may tell.
        let nothing = |said: Result<Verdict, LogError>| match said {
            Ok(Verdict::Unknown { size }) => old > 1 && old.is_power_of_two() && size == old + 1,
            said => said.is_err(),
        };
        for at in 0..path.len() {
            let mut bent = path.clone();
            bent[at] = TreeHash::of_entry(b"bent");
            assert!(nothing(ask(&tree, bent)), "hash {at} of the path from {old} was bent");
        }
        let longer = [path.as_slice(), &[TreeHash::of_nothing()]].concat();
        assert!(nothing(ask(&tree, longer)), "the path from {old} is too long");
        assert!(nothing(ask(&tree, path[1..].to_vec())), "the path from {old} is too short");
        // Only the path to a root that the log has signed shows where that tree comes from.
        assert!(nothing(ask(&other, path)), "the path of another tree, from {old}");
        let forked = ask(&other, other.consistency(old, 60));
        if old.is_power_of_two() {
            assert!(nothing(forked), "a second history from {old} was signed");
        } else {
            assert!(matches!(forked, Ok(Verdict::Forked(_))), "a second history from {old} is not accused");
        }
    }
    let first = Ask { old: 0, path: vec![TreeHash::of_nothing()], checkpoint: checkpoint(&tree, 60).note().into() };
    assert!(judge(None, &first, &key).is_err(), "nothing was seen that it could contradict");
}

/// What would be a bug: a second history that is refused and never accused because what was seen ends at a power of two; one that is signed; a
/// message that was damaged and accuses; an honest log that is not signed when it shows the same.
#[test]
fn a_fork_from_a_power_of_two_is_accused_by_the_path_from_the_next_size() {
    let (_, key) = log_key();
    let tree = Tree::of(70);
    let sizes = |old: u64| [old + 2, old + 3, 2 * old + 1, 70].map(|shown| (old, shown));
    for (old, shown) in [2, 4, 16, 32].into_iter().flat_map(sizes) {
        let known = Some(Known { size: old, root: tree.root(old) });
        let ask = |tree: &Tree, from, path| {
            judge(known, &Ask { old: from, path, checkpoint: checkpoint(tree, shown).note().into() }, &key)
        };
        let path = tree.consistency(old + 1, shown);
        assert!(matches!(ask(&tree, old + 1, path.clone()), Ok(Verdict::Consistent(_))), "{old} to {shown}");
        for at in 0..path.len() {
            let mut bent = path.clone();
            bent[at] = TreeHash::of_entry(b"bent");
            assert!(ask(&tree, old + 1, bent).is_err(), "hash {at} of the path from {old} to {shown} was bent");
        }
        for rewritten in [0, old / 2, old - 1] {
            let mut other = Tree::of(rewritten);
            (rewritten..70).for_each(|_| other.push(b"rewritten"));
            assert!(ask(&other, old + 1, path.clone()).is_err(), "the path of another tree");
            let from = ask(&other, old, other.consistency(old, shown));
            assert_eq!(from, Ok(Verdict::Unknown { size: old + 1 }), "it is not asked for what would show it");
            let forked = ask(&other, old + 1, other.consistency(old + 1, shown));
            assert!(matches!(forked, Ok(Verdict::Forked(_))), "{rewritten} of {old}, to {shown}: {forked:?}");
        }
    }
}

/// What would be a bug: other files than tlog-tiles names; its own example is a tree of 70,000.
#[test]
fn tiles_are_those_of_the_specification() {
    let names = |old, new| tiles(old, new).iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = names(0, 70_000);
    let count = |start: &str, partial: bool| {
        all.iter().filter(|n| n.starts_with(start) && n.contains(".p/") == partial).count()
    };
    assert_eq!((count("tile/0/", false), count("tile/1/", false), count("tile/entries/", false)), (273, 1, 273));
    for name in ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112"] {
        assert!(all.contains(&name.to_string()), "{name} is missing");
    }
    assert_eq!(names(255, 256), ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(names(3, 4), ["tile/entries/000.p/4", "tile/0/000.p/4"]);
    assert_eq!(names(4, 4), Vec::<String>::new());
    let far = Tile { level: Some(0), number: 1_234_067, width: 256 };
    assert_eq!(far.to_string(), "tile/0/x001/x234/067");
    let parts: [&[u8]; 3] = [b"one", b"", b"three"];
    let bytes = bundle(parts).expect("a bundle");
    assert_eq!(entries(&bytes).expect("entries"), parts);
    assert!(entries(&bytes[..bytes.len() - 1]).is_err());
    let long = vec![0; ENTRY_BYTES_MAX + 1];
    assert!(bundle([long.as_slice()]).is_err(), "an entry whose length has no room");
}
