//! The ledger's rows against what the log says of them.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use spe_kernel::{
    audit::{Answer, Entry, Event, PaidUnder},
    fault::Fault,
    ids::Digest,
};

use super::{
    super::{carry, releases},
    Checked,
};
use crate::journal::ledger;

/// What the log tells of the ledger.
#[derive(Default)]
struct Tale {
    charged: BTreeMap<String, (String, String)>,
    began: BTreeSet<String>,
    committed: BTreeMap<String, Digest>,
    released: BTreeMap<String, (Digest, u64, Option<Digest>)>,
}

fn name(answer: &Answer) -> String {
    let Answer { plan, dataset, snapshot, round } = answer;
    format!("plan {} on {dataset} {}, round {round}", plan.short(), snapshot.short())
}

impl Tale {
    fn of(entries: &BTreeMap<u64, Entry>, checked: &mut Checked) -> Self {
        let mut tale = Self::default();
        for (index, entry) in entries {
            let twice = match &entry.event {
                Event::Charged { answer, permit, loss, .. } => {
                    let said = (format!("{} {}", permit.number, permit.issuer), loss.to_string());
                    tale.charged.insert(name(answer), said).is_some()
                }
                Event::RoundBegan { answer } => !tale.began.insert(name(answer)),
                Event::Committed { answer, envelope } => tale.committed.insert(name(answer), *envelope).is_some(),
                Event::Released { answer, envelope, paid_under, .. } => {
                    tale.released.insert(name(answer), (*envelope, *index, *paid_under)).is_some()
                }
                _ => false,
            };
            if twice {
                checked.find(format!("entry {index} tells something for the second time"));
            }
        }
        tale
    }
}

/// Each row has its entry, and each entry its row.
pub(super) fn check(db: &Connection, entries: &BTreeMap<u64, Entry>, checked: &mut Checked) -> Result<(), Fault> {
    let mut tale = Tale::of(entries, checked);
    let first = carry::answers(db, "SELECT plan, dataset, snapshot, 0, envelope FROM charge")?;
    let later = carry::answers(db, "SELECT plan, dataset, snapshot, round, envelope FROM round")?;
    for (key, envelope) in first.iter().chain(&later) {
        let (what, bought) = (name(&key.into()), ledger::bought(db, key)?);
        let said = if key.round == 0 { tale.charged.remove(&what) } else { None };
        let began = key.round == 0 || tale.began.remove(&what);
        match (bought, said) {
            (Some(bought), Some((permit, loss)))
                if bought.permit.to_string() != permit || bought.loss.to_string() != loss =>
            {
                checked.find(format!("the charge for {what} is {} in the ledger and {loss} in the log", bought.loss));
            }
            (_, None) if key.round == 0 => checked.find(format!("the charge for {what} is not in the log")),
            _ if !began => checked.find(format!("the round of {what} is not in the log")),
            _ => checked.rows += 1,
        }
        match (tale.committed.remove(&what), envelope.as_ref().map(|e| Digest::of(e))) {
            (said, kept) if said == kept => {}
            (Some(_), None) => checked.find(format!("the answer to {what} is in the log and not in the ledger")),
            (None, _) => checked.find(format!("the answer to {what} is not in the log")),
            _ => checked.find(format!("the answer to {what} is another one in the ledger than in the log")),
        }
    }
    for release in releases(db)? {
        let (what, paid) = (name(&(&release.key).into()), release.paid_under.as_ref());
        match tale.released.remove(&what) {
            Some((answer, index, _)) if (answer, index) != (release.answer, release.index) => {
                checked.find(format!("the release of {what} is another one than in the log"));
            }
            Some((.., hidden)) if hidden != paid.map(PaidUnder::commitment) => {
                checked.find(format!("the release of {what} was paid for under another permit than its entry hides"));
            }
            Some(_) => checked.rows += 1,
            None => checked.find(format!("the release of {what} is not in the log")),
        }
        let charged = ledger::bought(db, &release.key)?.map(|bought| (&bought.permit).into());
        if paid.is_some_and(|paid| Some(&paid.permit) != charged.as_ref()) {
            checked.find(format!("the release of {what} names another permit than its charge"));
        }
    }
    let left = [
        ("charge for", tale.charged.into_keys().collect::<Vec<_>>()),
        ("round of", tale.began.into_iter().collect()),
        ("answer to", tale.committed.into_keys().collect()),
        ("release of", tale.released.into_keys().collect()),
    ];
    for (what, keys) in left {
        keys.iter().for_each(|key| checked.find(format!("the {what} {key} is in the log and not in the ledger")));
    }
    Ok(())
}
