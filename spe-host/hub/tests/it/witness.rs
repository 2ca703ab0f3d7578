//! The hub as the witness of its nodes' logs: what it keeps against a node, anybody can judge again.

use std::{collections::HashMap, fs};

use rusqlite::Connection;
use spe_hub::evidence;
use spe_kernel::{
    receipt::log_key,
    refusal::Refusal,
    tlog::{Ask, Checkpoint, Known, Reply, SignedCheckpoint, TreeHash, Verdict, appended, consistency, judge, root},
};

use crate::federation::{Federation, Node};

/// A log of that many entries, the last of which are others in another history.
struct Log(HashMap<(u32, u64), TreeHash>);

impl Log {
    fn of(entries: impl Iterator<Item = &'static str>) -> Self {
        let mut log = Self(HashMap::new());
        for (index, entry) in (0..).zip(entries) {
            for (level, at, hash) in
                appended(index, TreeHash::of_entry(entry.as_bytes()), |l, i| log.read(l, i)).unwrap()
            {
                log.0.insert((level, at), hash);
            }
        }
        log
    }

    fn read(&self, level: u32, index: u64) -> Result<TreeHash, (u32, u64)> {
        self.0.get(&(level, index)).copied().ok_or((level, index))
    }

    /// The node asks for a cosignature, and says that the hub has seen `old` entries.
    fn ask(&self, node: &Node, old: u64, size: u64) -> Ask {
        let origin = log_key(&node.name, node.key.public()).unwrap().name().to_owned();
        let root = root(size, |l, i| self.read(l, i)).unwrap();
        let checkpoint = Checkpoint { origin, size, root }.sign(&node.key).unwrap().note().to_owned();
        let path = if old == 0 { Vec::new() } else { consistency(old, size, |l, i| self.read(l, i)).unwrap() };
        Ask { old, path, checkpoint }
    }
}

/// What would be a bug: a node that is accused for good by a message that was damaged; a fork that is cosigned, or of which the evidence proves
/// nothing to anybody else.
#[tokio::test]
async fn a_fork_is_kept_as_evidence_and_a_damaged_message_is_not() {
    let federation = Federation::found().await;
    let north = federation.node("north").await;
    north.hub.offer(north.offer()).await.unwrap();
    let log = Log::of(std::iter::repeat_n("entry", 20));
    let other = Log::of(std::iter::repeat_n("entry", 5).chain(std::iter::repeat_n("rewritten", 15)));
    let cosigned = |answer: Result<(Reply, _), Refusal>| matches!(answer, Ok((Reply::Cosigned(_), _)));
    assert!(cosigned(north.hub.witness(&log.ask(&north, 0, 7)).await));

    let mut damaged = log.ask(&north, 7, 12);
    damaged.path[1] = TreeHash::of_entry(b"damaged");
    let refused = north.hub.witness(&damaged).await.expect_err("a path that proves nothing was cosigned");
    assert!(matches!(refused, Refusal::Malformed { .. }), "{refused}");
    assert_eq!(evidence(federation.dir.path()).unwrap(), Vec::new(), "a damaged message is kept against the node");
    assert!(cosigned(north.hub.witness(&log.ask(&north, 7, 12)).await), "it may not ask again");

    // However often it shows old copies, which prove nothing to others.
    let db = Connection::open(federation.dir.path().join("hub.sqlite")).unwrap();
    let fills = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        INSERT INTO evidence (node, kind, seen, shown) SELECT 'north', 'shorter', 'seen', i FROM n";
    assert_eq!(db.execute(fills, []).unwrap(), 1_000);
    for size in [12, 20] {
        let forked = north.hub.witness(&other.ask(&north, 12, size)).await;
        assert!(!cosigned(forked), "a second history of {size} entries was cosigned");
    }
    let mut kept = evidence(federation.dir.path()).unwrap();
    kept.retain(|one| one.seen != "seen");
    assert_eq!(kept.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(), ["forked", "forked"]);
    let key = log_key(&north.name, north.key.public()).unwrap();
    for one in kept {
        let (size, root) = SignedCheckpoint::open(&one.seen, &key).unwrap().tree();
        let again = judge(Some(Known { size, root }), &Ask::parse(&one.shown).unwrap(), &key);
        assert!(matches!(again, Ok(Verdict::Forked(_))), "the evidence does not prove it: {again:?}");
    }
}

/// What would be a bug: an old copy of a node's log that is put back after the node went on from another one, and of which nobody hears; a log
/// that stops the node again and again for what was acknowledged; one that is cosigned because nobody looks any more.
#[tokio::test]
async fn a_history_that_was_acknowledged_is_watched_on() {
    let federation = Federation::found().await;
    let north = federation.node("north").await;
    north.hub.offer(north.offer()).await.unwrap();
    let [first, second, third] = [log("entry", 5), log("second", 5), log("third", 13)];
    assert_eq!(show(&north, &first, 21).await, None);
    let history = async |log, size| {
        let why = show(&north, log, size).await.expect("another history was cosigned");
        assert!(why.contains("of 21 entries"), "{why}");
        why
    };
    let said = history(&second, 7).await;
    // Shorter than what was cosigned, as long, and longer: one history, in the same words.
    for size in [9, 19, 21, 23, 30] {
        assert_eq!(history(&second, size).await, said, "of {size} entries");
    }
    let copy = history(&second, 25).await;
    assert_ne!(copy, said, "an old copy of the second history was put back");
    assert_eq!(history(&second, 26).await, copy, "it goes on");
    let other = history(&third, 40).await;
    assert!(other != said && other != copy, "another one, longer than the second: {other}");
    assert_eq!(history(&third, 41).await, other);
    assert_eq!(show(&north, &first, 22).await, None, "the right files are back");
}

/// A log of 60 entries, of which those after the first `from` are others.
fn log(rewritten: &'static str, from: usize) -> Log {
    Log::of(std::iter::repeat_n("entry", from).chain(std::iter::repeat_n(rewritten, 60 - from)))
}

/// Asks as a node does, from what it was told last: none if the log is cosigned, else why not.
async fn show(north: &Node, log: &Log, size: u64) -> Option<String> {
    let mut old = 3;
    loop {
        match north.hub.witness(&log.ask(north, old, size)).await {
            Ok((Reply::From(from), _)) if from <= size && from != old => old = from,
            Ok((Reply::From(from), _)) => return Some(format!("asks for {from} again")),
            Ok((Reply::Cosigned(_), _)) => return None,
            Err(Refusal::RolledBack { why, .. }) => return Some(why),
            Err(other) => panic!("{other}"),
        }
    }
}

/// What would be a bug: a new history that has the words by which another one was acknowledged, so that it stops nobody, because the hub has
/// forgotten that one.
#[tokio::test]
async fn a_hub_whose_store_was_put_back_gives_no_history_a_name_again() {
    let mut federation = Federation::found().await;
    let north = federation.node("north").await;
    north.hub.offer(north.offer()).await.unwrap();
    let [first, second, third] = [log("entry", 5), log("second", 5), log("third", 13)];
    assert_eq!(show(&north, &first, 21).await, None);
    let [store, copy] = ["hub.sqlite", "copy.sqlite"].map(|name| federation.dir.path().join(name));
    Connection::open(&store).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let acknowledged = show(&north, &second, 25).await.expect("another history was cosigned");
    // Also where it begins with the very checkpoint that the other one began with: what followed that may have been put back.
    for log in [&third, &second] {
        federation.stop().await;
        for beside in ["hub.sqlite-wal", "hub.sqlite-shm"] {
            fs::remove_file(federation.dir.path().join(beside)).ok();
        }
        fs::remove_file(&store).unwrap();
        fs::copy(&copy, &store).unwrap();
        federation.start(|_| {}).await;
        let said = show(&north, log, 25).await.expect("another history was cosigned");
        assert!(said.contains("history "), "{said}");
        assert_ne!(said, acknowledged, "what was acknowledged hides another history");
    }
}

/// What would be a bug: a second history that is refused like a damaged message, which stops nobody and is kept nowhere, because the hub has seen
/// as many entries as a power of two.
#[tokio::test]
async fn a_fork_from_a_power_of_two_stops_the_node_and_is_kept() {
    let federation = Federation::found().await;
    let north = federation.node("north").await;
    north.hub.offer(north.offer()).await.unwrap();
    let [first, second, third] = [log("entry", 5), log("second", 5), log("third", 6)];
    assert_eq!(show(&north, &first, 8).await, None);
    let said = show(&north, &second, 16).await.expect("a second history was cosigned");
    assert!(said.contains("history "), "{said}");
    let other = show(&north, &third, 20).await.expect("a third history was cosigned");
    assert!(other.contains("history ") && other != said, "{other}");
    let key = log_key(&north.name, north.key.public()).unwrap();
    let kept = evidence(federation.dir.path()).unwrap();
    assert_eq!(kept.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(), ["forked", "forked"]);
    for one in kept {
        let (size, root) = SignedCheckpoint::open(&one.seen, &key).unwrap().tree();
        let again = judge(Some(Known { size, root }), &Ask::parse(&one.shown).unwrap(), &key);
        assert!(matches!(again, Ok(Verdict::Forked(_))), "the evidence does not prove it: {again:?}");
    }
    assert_eq!(show(&north, &first, 22).await, None, "the right files are back");
}
