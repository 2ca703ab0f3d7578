//! The hub as the witness of its nodes' logs: what it keeps against a node, anybody can judge again.

use std::collections::HashMap;

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

    for size in [12, 20] {
        let forked = north.hub.witness(&other.ask(&north, 12, size)).await;
        assert!(!cosigned(forked), "a second history of {size} entries was cosigned");
    }
    let kept = evidence(federation.dir.path()).unwrap();
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
    let log =
        |rewritten, from| Log::of(std::iter::repeat_n("entry", from).chain(std::iter::repeat_n(rewritten, 60 - from)));
    let [first, second, third] = [log("entry", 5), log("second", 5), log("third", 13)];
    // As a node asks: from what it was told last.
    let show = async |log: &Log, size: u64| {
        let mut old = 3;
        loop {
            match north.hub.witness(&log.ask(&north, old, size)).await {
                Ok((Reply::From(from), _)) if from <= size && from != old => old = from,
                Ok((Reply::From(from), _)) => return Some(format!("asks for {from} again")),
                Ok((Reply::Cosigned(_), _)) => return None,
                Err(Refusal::RolledBack { why, .. }) => return Some(why),
                Err(other) => panic!("{other}"),
            }
        }
    };
    assert_eq!(show(&first, 21).await, None);
    let history = |why: Option<String>| {
        let why = why.expect("another history was cosigned");
        assert!(why.contains("of 21 entries"), "{why}");
        why.rsplit_once("history ").unwrap().1.split(' ').next().unwrap().parse::<u32>().unwrap()
    };
    // Shorter than what was cosigned, as long, and longer: one history, in the same words.
    for size in [7, 9, 19, 21, 23, 30] {
        assert_eq!(history(show(&second, size).await), 1, "of {size} entries");
    }
    assert_eq!(history(show(&second, 25).await), 2, "an old copy of the second history was put back");
    assert_eq!(history(show(&second, 26).await), 2, "it goes on");
    assert_eq!(history(show(&third, 40).await), 3, "another one, longer than the second");
    assert_eq!(history(show(&third, 41).await), 3);
    assert_eq!(show(&first, 22).await, None, "the right files are back");
}
