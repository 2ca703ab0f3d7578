//! Nobody learns from the hash of an entry what it says.

use std::collections::BTreeSet;

use jiff::Timestamp;
use spe_kernel::{
    audit::{ActorId, Entry, Event},
    ids::Digest,
    receipt::open,
    tlog::{LogProof, TreeHash},
};

use super::{super::add, World};

/// Hashes of entries that the receipt of the answer to `plan` contains.
fn beside(world: &World, plan: &[u8]) -> Vec<TreeHash> {
    let records = world.records();
    let checkpoint = records.checkpoint(&world.files(), &world.secret).expect("a checkpoint");
    let receipt = records.receipt(Digest::of(plan), Digest::of(b"permit"), &checkpoint).expect("a receipt");
    open(receipt.text(), world.files().node(), world.secret.public()).expect("it holds");
    LogProof::parse(receipt.text()).expect("a proof").path
}

/// What would be a bug: an entry whose hash, which others have in their receipts and a witness in its proofs, shows that a guess of what it says is
/// right; two entries with one salt, of which whoever is told the one can guess the other.
#[test]
fn the_hash_of_an_entry_tells_of_no_guess_whether_it_is_right() {
    let world = World::at_work("guess");
    let entries = world.records().entries(0, 1_000).expect("entries");
    let neighbours: Vec<TreeHash> = [b"a", b"b", b"c"].iter().flat_map(|plan| beside(&world, *plan)).collect();
    let (mut salts, mut met) = (BTreeSet::new(), 0);
    for (index, body) in entries {
        let body = body.expect("a body");
        let entry = Entry::parse(&body).expect("an entry");
        let hash = TreeHash::of_entry(&body);
        met += usize::from(neighbours.contains(&hash));
        let guessed = Entry { salt: None, ..entry.clone() }.to_bytes().expect("bytes");
        assert_ne!(TreeHash::of_entry(&guessed), hash, "who guesses entry {index} sees that the guess is right");
        assert!(salts.insert(entry.salt), "entry {index} has no salt of its own");
    }
    assert!(met > 0, "no receipt has the hash of another entry: this test looks at nothing");
}

/// What would be a bug: a log that an earlier version began, whose entries have no salt, and that no longer holds or goes on.
#[test]
fn a_log_of_an_earlier_version_holds_and_goes_on() {
    let world = World::new("before-salts");
    let mut records = world.records();
    for software in ["spe 1", "spe 2", "spe 3"] {
        let event = Event::NodeStarted { software: software.into() };
        let at = Timestamp::from_second(1_800_000_000).expect("a time");
        let before = Entry { salt: None, ..Entry::new(at, ActorId::node(), event, [0; 32].into()) };
        records.in_one(|db| add(db, &before)).expect("an entry");
    }
    world.answer(&mut records, b"a");
    world.publish(&records, true);
    drop(records);
    let checked = world.check();
    assert_eq!((checked.findings, checked.entries), (Vec::new(), 7));
    assert!(!beside(&world, b"a").is_empty());
}
