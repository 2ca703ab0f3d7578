//! Lines about nodes in the hub's own log: a node that asks in a loop writes few of them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use spe_kernel::{
    ids::NodeName,
    sparing::{LeftOut, Sparing},
};

/// As the log itself, there is one in a process. Nodes are members, whom the operator lists: there are not many.
static LINES: Mutex<BTreeMap<(NodeName, &str), Sparing>> = Mutex::new(BTreeMap::new());

/// Whether there may be another line about that of `node`, as [`Sparing`] says.
pub(crate) fn line(node: &NodeName, about: &'static str) -> Option<LeftOut> {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.entry((node.clone(), about)).or_default().line(Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be a bug: a node that asks in a loop and fills the log; one whose lines keep others out, about other nodes or other things.
    #[test]
    fn a_node_in_a_loop_writes_few_lines_and_keeps_out_no_others() {
        let said = |node: &str, about| {
            let node = node.parse().expect("a name");
            (0..1_000).filter(|_| line(&node, about).is_some()).count()
        };
        let lines = [("in-a-loop", "proof"), ("another", "proof"), ("in-a-loop", "catalogue")].map(|(n, a)| said(n, a));
        assert!(lines.iter().all(|lines| (1..100).contains(lines)), "{lines:?} lines of 1,000 each");
    }
}
