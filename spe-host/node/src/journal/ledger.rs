//! The ledger's rows: charges, rounds and answers.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use spe_kernel::{
    audit::{self, ActorId, Person, Who},
    fault::Fault,
    ids::Digest,
    ledger::{AnswerKey, Charge, Entry, Event, Journal, Total},
    permit::PermitId,
    plan::Release,
    units::{Loss, Measure},
};

use super::{Records, log};

pub(super) fn loss(measure: &str, pico: i64, delta: i64) -> Result<Loss, Fault> {
    let measure = match measure {
        "rho" => Measure::Zcdp,
        "epsilon" => Measure::Pure,
        other => return Err(Fault::new("reading the ledger", format!("unknown measure {other}"))),
    };
    let amount = |n: i64| u64::try_from(n).map_err(Fault::while_("reading the ledger"));
    Ok(Loss::from_pico(measure, amount(pico)?).with_delta_atto(amount(delta)?))
}

/// Writes the event's row, without its entry in the log.
fn write(db: &Connection, event: &Event<'_>) -> Result<(), Fault> {
    const RESERVE: &str =
        "INSERT INTO charge (plan, dataset, snapshot, permit, job, measure, pico, delta, person, leaves_at_ms, exact)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    const BEGIN: &str = "INSERT INTO round (plan, dataset, snapshot, round, state, leaves_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    const FIRST: &str = "UPDATE charge SET envelope = ?5 WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND ?4 = 0";
    const LATER: &str =
        "UPDATE round SET envelope = ?5 WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND round = ?4";
    let written = match event {
        Event::Reserved(charge) => {
            let AnswerKey { plan, dataset, snapshot, .. } = &charge.key;
            let amount = |n: u64| i64::try_from(n).map_err(Fault::while_("writing the ledger"));
            let (pico, delta) = (amount(charge.loss.pico())?, amount(charge.loss.delta_atto())?);
            let measure = charge.loss.measure().parameter();
            let payer = payer(db, charge)?;
            let values = params![
                plan.as_bytes(),
                dataset.as_str(),
                snapshot.as_bytes(),
                charge.permit.to_string(),
                charge.job.as_bytes(),
                measure,
                pico,
                delta,
                payer.as_str(),
                charge.leaves_at.as_millisecond(),
                charge.release == Release::ExactTables
            ];
            db.prepare_cached(RESERVE).and_then(|mut s| s.execute(values))
        }
        Event::Began { key: AnswerKey { plan, dataset, snapshot, round }, state, leaves_at } => {
            let leaves_at = leaves_at.as_millisecond();
            let state: Vec<u8> = state.iter().flat_map(|x| x.to_le_bytes()).collect();
            let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), round, state, leaves_at];
            db.prepare_cached(BEGIN).and_then(|mut s| s.execute(values))
        }
        Event::Committed { key: AnswerKey { plan, dataset, snapshot, round }, envelope } => {
            let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), round, envelope];
            let commit = if *round == 0 { FIRST } else { LATER };
            db.prepare_cached(commit).and_then(|mut s| s.execute(values))
        }
    };
    match written.map_err(Fault::while_("writing the ledger"))? {
        1 => Ok(()),
        rows => Err(Fault::new("writing the ledger", format!("{rows} rows changed instead of one"))),
    }
}

/// Who pays, by the tag that the log has for the person: names are kept where they can be erased.
pub(super) fn payer(db: &Connection, charge: &Charge) -> Result<ActorId, Fault> {
    let who = Who::Person(Person { name: charge.person.to_string(), key: None, identity: None });
    let signer = log::job_of(db, charge.job, Some(&who))?.actor;
    let is_theirs = "SELECT EXISTS (SELECT 1 FROM log_person WHERE id = ?1 AND name = ?2)";
    let is_theirs = db.query_row(is_theirs, [signer.as_str(), charge.person.as_str()], |r| r.get(0));
    if is_theirs.map_err(Fault::while_("looking up the ledger"))? { Ok(signer) } else { log::actor(db, &who) }
}

/// What the log says of the event.
fn told(db: &Connection, event: &Event<'_>) -> Result<u64, Fault> {
    match event {
        Event::Reserved(charge) => {
            let Charge { key, permit, job, loss, .. } = charge;
            let job = log::job_of(db, *job, None)?;
            let (permit, answer, loss) = (permit.into(), key.into(), *loss);
            log::append(db, job.actor, audit::Event::Charged { job: job.tag, permit, answer, loss })
        }
        Event::Began { key, .. } => {
            log::append(db, buyer(db, key)?, audit::Event::RoundBegan { answer: (*key).into() })
        }
        Event::Committed { key, envelope } => {
            let (answer, envelope) = ((*key).into(), Digest::of(envelope));
            log::append(db, buyer(db, key)?, audit::Event::Committed { answer, envelope })
        }
    }
}

fn buyer(db: &Connection, key: &AnswerKey) -> Result<ActorId, Fault> {
    match bought(db, key)? {
        Some(bought) => Ok(log::job_of(db, bought.job, None)?.actor),
        None => Err(Fault::new("writing the ledger", "what is told of was never charged")),
    }
}

/// What a charge bought, as far as the log tells it.
pub(super) struct Bought {
    /// Under which permit.
    pub(super) permit: PermitId,
    /// Digest of the signed job.
    pub(super) job: Digest,
    /// The price.
    pub(super) loss: Loss,
}

/// The charge that paid for `key`, whichever round.
pub(super) fn bought(db: &Connection, key: &AnswerKey) -> Result<Option<Bought>, Fault> {
    const BOUGHT: &str =
        "SELECT permit, job, measure, pico, delta FROM charge WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3";
    let reading = "looking up the ledger";
    let AnswerKey { plan, dataset, snapshot, .. } = key;
    let row = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?));
    let found: Option<(String, [u8; 32], String, i64, i64)> = db
        .prepare_cached(BOUGHT)
        .and_then(|mut s| s.query_row(params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes()], row).optional())
        .map_err(Fault::while_(reading))?;
    let Some((permit, job, measure, pico, delta)) = found else { return Ok(None) };
    let permit = permit.parse().map_err(Fault::while_(reading))?;
    Ok(Some(Bought { permit, job: Digest::from_bytes(job), loss: loss(&measure, pico, delta)? }))
}

impl Journal for Records {
    fn totals(&mut self) -> Result<Vec<Total>, Fault> {
        const SUMS: &str = "SELECT dataset, permit, measure, SUM(pico), SUM(delta), SUM(exact) FROM charge
             GROUP BY dataset, permit, measure";
        let reading = "adding up the ledger";
        let connection = self.connection();
        let mut statement = connection.prepare(SUMS).map_err(Fault::while_(reading))?;
        let row = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?));
        let rows = statement.query_map([], row).map_err(Fault::while_(reading))?;
        let total = |row: rusqlite::Result<(String, String, String, i64, i64, i64)>| {
            let (dataset, permit, measure, pico, delta, exact_tables) = row.map_err(Fault::while_(reading))?;
            Ok(Total {
                dataset: dataset.parse().map_err(Fault::while_(reading))?,
                permit: permit.parse().map_err(Fault::while_(reading))?,
                spent: loss(&measure, pico, delta)?,
                exact_tables: u64::try_from(exact_tables).map_err(Fault::while_(reading))?,
            })
        };
        rows.map(total).collect()
    }

    fn find(&mut self, key: &AnswerKey) -> Result<Option<Entry>, Fault> {
        const FIRST: &str = "SELECT envelope FROM charge WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND ?4 = 0";
        const LATER: &str =
            "SELECT envelope FROM round WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND round = ?4";
        let AnswerKey { plan, dataset, snapshot, round } = key;
        let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), round];
        let found: Option<Option<Vec<u8>>> = self
            .connection()
            .prepare_cached(if *round == 0 { FIRST } else { LATER })
            .and_then(|mut s| s.query_row(values, |r| r.get(0)).optional())
            .map_err(Fault::while_("looking up the ledger"))?;
        Ok(found.map(|envelope| envelope.map_or(Entry::Open, Entry::Answered)))
    }

    fn leaves_at(&mut self, key: &AnswerKey) -> Result<Option<Timestamp>, Fault> {
        const FIRST: &str =
            "SELECT leaves_at_ms FROM charge WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND ?4 = 0";
        const LATER: &str =
            "SELECT leaves_at_ms FROM round WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND round = ?4";
        let AnswerKey { plan, dataset, snapshot, round } = key;
        let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), round];
        let found: Option<Option<i64>> = self
            .connection()
            .prepare_cached(if *round == 0 { FIRST } else { LATER })
            .and_then(|mut s| s.query_row(values, |r| r.get(0)).optional())
            .map_err(Fault::while_("looking up the ledger"))?;
        // What an earlier version charged has no such time, and is long over.
        let time = found.flatten().map(Timestamp::from_millisecond).transpose();
        time.map_err(Fault::while_("looking up the ledger"))
    }

    fn paid_by(&mut self, charge: &Charge) -> Result<bool, Fault> {
        // Versions 1 and 2 did not write down who; by the job they know whose it is as well.
        const PAID: &str =
            "SELECT EXISTS (SELECT 1 FROM charge WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND permit = ?4
             AND (person = ?5 OR (person IS NULL AND job = ?6)))";
        let AnswerKey { plan, dataset, snapshot, .. } = &charge.key;
        let (permit, job) = (charge.permit.to_string(), charge.job.as_bytes());
        self.in_one(|db| {
            let person = payer(db, charge)?;
            let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), permit, person.as_str(), job];
            let asked = db.prepare_cached(PAID).and_then(|mut s| s.query_row(values, |r| r.get(0)));
            asked.map_err(Fault::while_("looking up the ledger"))
        })
    }

    fn state(&mut self, key: &AnswerKey) -> Result<Option<Vec<f64>>, Fault> {
        const STATE: &str = "SELECT state FROM round WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND round = ?4";
        let AnswerKey { plan, dataset, snapshot, round } = key;
        let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), round];
        let found: Option<Vec<u8>> = self
            .connection()
            .prepare_cached(STATE)
            .and_then(|mut s| s.query_row(values, |r| r.get(0)).optional())
            .map_err(Fault::while_("looking up the ledger"))?;
        Ok(found.map(|bytes| bytes.as_chunks().0.iter().map(|eight| f64::from_le_bytes(*eight)).collect()))
    }

    fn bought(&mut self, job: Digest) -> Result<bool, Fault> {
        const BOUGHT: &str = "SELECT EXISTS (SELECT 1 FROM charge WHERE job = ?1)";
        let connection = self.connection();
        let asked = connection.prepare_cached(BOUGHT).and_then(|mut s| s.query_row([job.as_bytes()], |r| r.get(0)));
        asked.map_err(Fault::while_("looking up the ledger"))
    }

    /// The row and its entry in the log are one transaction.
    fn append(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        self.in_one(|db| {
            write(db, event)?;
            told(db, event).map(drop)
        })
    }
}
