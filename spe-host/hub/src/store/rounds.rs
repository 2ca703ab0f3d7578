//! Jobs with rounds: what nodes say in each, and when the next one begins. By addition only: the hub runs no module.
//!
//! The nodes that are still in a job are those that owe it an outcome. Once each of them has said something in the round under
//! way, the round is over: what most of them said holds, who said something else is out, and either the answers are merged and
//! the next round begins, or the job is finished. All of it happens in the transaction of the last report.

use rusqlite::{Connection, params};
use spe_kernel::{
    disclosure::{Answer, arrive},
    dsse::PublicKey,
    fault::Fault,
    federation::open_answer,
    ids::{Digest, JobId, NodeName},
    job::Job,
    plan::Plan,
    refusal::Refusal,
    rounds::{Finished, Merged, NextRound, state_digest},
};
use spe_wire::SignedAnswer;

use super::{
    first, jobs, nodes,
    outcomes::{self, Outcome, Recorded},
    parsed, rows,
};
use crate::stop::Stop;

/// What follows for the nodes of a job.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Nothing new.
    Rest,
    /// Some have spoken in this round, others are waited for.
    Waiting(u32),
    /// The next round began; these nodes have work.
    Next(Vec<NodeName>),
}

/// A job with rounds as it stands.
struct Going {
    plan: Plan,
    /// The round under way, which is the number of those that are merged.
    round: u32,
    cancelled: bool,
}

/// None if the module is run once.
fn going(db: &Connection, job: &JobId) -> Result<Option<Going>, Stop> {
    let sql = "SELECT envelope, done, cancelled FROM job WHERE id = ?1 AND done IS NOT NULL";
    first(db, sql, [job.as_str()], |row| {
        let envelope: Vec<u8> = row.get("envelope")?;
        let plan = Job::verify(&envelope)?.body().plan.clone();
        Ok(Going { plan, round: row.get("done")?, cancelled: row.get("cancelled")? })
    })
}

/// What a node says in a round.
struct Word<'a> {
    what: &'static str,
    /// The round that it speaks of, or why it is no word on this job.
    round: Result<u32, String>,
    body: &'a [u8],
}

/// Records an answer of `node`; none if the job has no rounds.
pub(crate) fn record_answer(
    db: &Connection,
    node: &NodeName,
    job: &JobId,
    envelope: &[u8],
) -> Result<Option<(Recorded, Turn)>, Stop> {
    let Some(going) = going(db, job)? else { return Ok(None) };
    let key = nodes::key(db, node)?;
    let round = outcomes::check(envelope, &going.plan, node, key).map(|(answer, _)| answer.round);
    hear(db, node, job, &going, &Word { what: "answered", round, body: envelope }).map(Some)
}

/// Records what `node` says was the last state.
pub(crate) fn record_finished(
    db: &Connection,
    node: &NodeName,
    job: &JobId,
    finished: &Finished,
) -> Result<(Recorded, Turn), Stop> {
    outcomes::earlier(db, node, job)?;
    let Some(going) = going(db, job)? else {
        let what = format!("finish {job}: it has no rounds");
        return Err(Refusal::NotAllowed { who: format!("node {node}"), what }.into());
    };
    let body = serde_json::to_vec(finished)?;
    let round = fits(finished, &going.plan).map(|()| finished.rounds);
    hear(db, node, job, &going, &Word { what: "finished", round, body: &body })
}

fn fits(finished: &Finished, plan: &Plan) -> Result<(), String> {
    if finished.plan != plan.digest() {
        return Err("it is the last state of another plan".into());
    }
    if finished.state.len() != plan.state().len() || finished.state.iter().any(|x| !x.is_finite()) {
        return Err(format!("the plan's state has {} finite numbers", plan.state().len()));
    }
    if finished.rounds == 0 { Err("it ran no round".into()) } else { Ok(()) }
}

fn hear(
    db: &Connection,
    node: &NodeName,
    job: &JobId,
    going: &Going,
    word: &Word<'_>,
) -> Result<(Recorded, Turn), Stop> {
    let earlier = outcomes::earlier(db, node, job)?;
    if let Ok(round) = word.round
        && let Some(body) = on_record(db, node, job, round)?
    {
        // A lost acknowledgement makes a node repeat itself, even after the round is over.
        let other = || outcomes::already(node, format!("change what it said in round {round} of {job}"));
        return if body == word.body { Ok((Recorded::Known, Turn::Rest)) } else { Err(other()) };
    }
    if let Some(earlier) = earlier {
        return Ok((earlier.again(node, job, word.body)?, Turn::Rest));
    }
    let why = match &word.round {
        Ok(round) if *round == going.round => {
            write(db, node, job, *round, word)?;
            return Ok((Recorded::New, after(db, node, job, going)?));
        }
        Ok(round) => format!("it speaks of round {round}, and the job is in round {}", going.round),
        Err(why) => why.clone(),
    };
    let recorded = outcomes::invalidate(db, node, job, why, word.body)?;
    Ok((recorded, settle_round(db, job, going)?))
}

/// What follows what a node said in time.
fn after(db: &Connection, node: &NodeName, job: &JobId, going: &Going) -> Result<Turn, Stop> {
    if !going.cancelled {
        return settle_round(db, job, going);
    }
    // It had begun before it heard of the cancellation. Its answer is kept, and it owes nothing more.
    outcomes::refuse(db, node, job, &Refusal::Cancelled)?;
    Ok(Turn::Rest)
}

fn on_record(db: &Connection, node: &NodeName, job: &JobId, round: u32) -> Result<Option<Vec<u8>>, Stop> {
    let sql = "SELECT body FROM said WHERE job = ?1 AND round = ?2 AND node = ?3";
    first(db, sql, params![job.as_str(), round, node.as_str()], |row| Ok(row.get("body")?))
}

fn write(db: &Connection, node: &NodeName, job: &JobId, round: u32, word: &Word<'_>) -> Result<(), Stop> {
    let key = nodes::key(db, node)?.ok_or_else(|| Fault::new("recording what a node said", "it has no key"))?;
    let sql = "INSERT INTO said (job, node, round, what, key, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    db.execute(sql, params![job.as_str(), node.as_str(), round, word.what, key.to_string(), word.body])?;
    Ok(())
}

/// Goes on with `job` if it has rounds and nobody is waited for any more.
pub(crate) fn settle(db: &Connection, job: &JobId) -> Result<Turn, Stop> {
    match going(db, job)? {
        Some(going) => settle_round(db, job, &going),
        None => Ok(Turn::Rest),
    }
}

fn settle_round(db: &Connection, job: &JobId, going: &Going) -> Result<Turn, Stop> {
    let (spoke, inside) = standing(db, job, going.round)?;
    if going.cancelled || spoke == 0 {
        return Ok(Turn::Rest);
    }
    if spoke < inside {
        return Ok(Turn::Waiting(going.round));
    }
    let heard = heard(db, job, going)?;
    let agreed = most(&heard);
    let (same, other): (Vec<_>, Vec<_>) = heard.into_iter().partition(|h| Some(h.verdict()) == agreed);
    for h in other {
        outcomes::invalidate(db, &h.node, job, h.differs(agreed, going.round), &h.body)?;
    }
    let answers: Vec<Answer> = same.iter().filter_map(|h| h.answer.clone()).collect();
    if answers.is_empty() { finish(db, job, going.round, &same) } else { advance(db, job, going, &answers) }
}

/// Of the nodes that are still in the job: how many have spoken in `round`, and how many there are.
fn standing(db: &Connection, job: &JobId, round: u32) -> Result<(u32, u32), Stop> {
    let sql = "SELECT COUNT(said.node) AS spoke, COUNT(*) AS inside FROM asked
        LEFT JOIN said ON said.job = asked.job AND said.node = asked.node AND said.round = ?2
        WHERE asked.job = ?1 AND outcome IS NULL";
    Ok(db.query_row(sql, params![job.as_str(), round], |row| Ok((row.get("spoke")?, row.get("inside")?)))?)
}

/// What a node said in the round that is over.
struct Heard {
    node: NodeName,
    body: Vec<u8>,
    /// None where it says that it has finished.
    answer: Option<Answer>,
    /// Of the state that the round ran on, or of the last one.
    state: Digest,
}

/// What nodes may agree on: that the module stopped or not, and the state. It is a function of public numbers, so that honest
/// nodes say the same.
type Verdict = (bool, Digest);

impl Heard {
    const fn verdict(&self) -> Verdict {
        (self.answer.is_some(), self.state)
    }

    fn differs(&self, agreed: Option<Verdict>, round: u32) -> String {
        let went_on = agreed.is_some_and(|(went_on, _)| went_on);
        match (&self.answer, went_on) {
            (None, true) => format!("it stopped after {round} rounds, and the others went on"),
            (Some(_), false) => format!("it went on with round {round}, and the others stopped"),
            (None, false) => "its last state is not that of the others".into(),
            (Some(_), true) => format!(
                "it ran round {round} on another state than the others, as it may have for an earlier job with the same \
                 plan; a higher --attempt asks anew"
            ),
        }
    }
}

fn heard(db: &Connection, job: &JobId, going: &Going) -> Result<Vec<Heard>, Stop> {
    let sql = "SELECT said.node AS node, what, said.key AS key, said.body AS body FROM asked
        JOIN said ON said.job = asked.job AND said.node = asked.node AND said.round = ?2
        WHERE asked.job = ?1 AND outcome IS NULL ORDER BY said.node";
    rows(db, sql, params![job.as_str(), going.round], |row| {
        let (node, body): (NodeName, Vec<u8>) = (parsed(row, "node")?, row.get("body")?);
        if row.get::<_, String>("what")? == "finished" {
            let finished: Finished = arrive(&body).map_err(Fault::while_("reading a stored last state"))?;
            return Ok(Heard { node, body, answer: None, state: state_digest(&finished.state) });
        }
        let opened = open_answer(&body, &going.plan, &node, parsed(row, "key")?);
        let answer = opened.map_err(Fault::while_("opening a stored answer"))?;
        Ok(Heard { node, body, state: answer.state, answer: Some(answer) })
    })
}

/// What most said; of two that are said as often, what the first node said.
fn most(heard: &[Heard]) -> Option<Verdict> {
    let said = |verdict: &Verdict| heard.iter().filter(|h| h.verdict() == *verdict).count();
    heard.iter().rev().map(Heard::verdict).max_by_key(said)
}

/// Everybody stopped with the same state: that is the outcome.
fn finish(db: &Connection, job: &JobId, round: u32, same: &[Heard]) -> Result<Turn, Stop> {
    for h in same {
        outcomes::write(db, &h.node, job, &Outcome { kind: "finished", why: None, key: None, body: &h.body })?;
    }
    db.execute("DELETE FROM said WHERE job = ?1 AND round = ?2", params![job.as_str(), round])?;
    Ok(Turn::Rest)
}

/// Everybody who is still in the job has answered. What others said in this round before they were out is not merged, so it is
/// not kept beside what is.
fn advance(db: &Connection, job: &JobId, going: &Going, answers: &[Answer]) -> Result<Turn, Stop> {
    let unmerged = "DELETE FROM said WHERE job = ?1 AND round = ?2
        AND node NOT IN (SELECT node FROM asked WHERE job = ?1 AND outcome IS NULL)";
    db.execute(unmerged, params![job.as_str(), going.round])?;
    let round = going.round.saturating_add(1);
    jobs::next_round(db, job, &NextRound { round, merged: Merged::of(&going.plan, answers) })?;
    Ok(Turn::Next(answers.iter().map(|answer| answer.node.clone()).collect()))
}

/// Leaves out who has not spoken in `round`, if it is still under way, and goes on with the others.
pub(crate) fn leave_out(db: &Connection, job: &JobId, round: u32, patience_seconds: u32) -> Result<Turn, Stop> {
    let Some(going) = going(db, job)?.filter(|going| going.round == round && !going.cancelled) else {
        return Ok(Turn::Rest);
    };
    if standing(db, job, round)?.0 == 0 {
        return Ok(Turn::Rest);
    }
    let sql = "SELECT node FROM asked WHERE job = ?1 AND outcome IS NULL
        AND NOT EXISTS (SELECT 1 FROM said WHERE said.job = ?1 AND said.node = asked.node AND said.round = ?2)";
    for node in rows(db, sql, params![job.as_str(), round], |row| parsed::<NodeName>(row, "node"))? {
        let what =
            format!("node {node}, which said nothing in round {round} within {patience_seconds} s of the first,");
        outcomes::refuse(db, &node, job, &Refusal::Unavailable { what })?;
    }
    settle_round(db, job, &going)
}

/// Jobs, with their rounds, in which some nodes have spoken and others are waited for.
pub(crate) fn waiting(db: &Connection) -> Result<Vec<(JobId, u32)>, Stop> {
    let sql = "SELECT id, done FROM job WHERE cancelled = 0 AND done IS NOT NULL
        AND EXISTS (SELECT 1 FROM said JOIN asked ON asked.job = said.job AND asked.node = said.node
            WHERE said.job = job.id AND said.round = job.done AND outcome IS NULL)";
    rows(db, sql, [], |row| Ok((parsed(row, "id")?, row.get("done")?)))
}

/// The answers of one round, by node.
pub(crate) fn answers(db: &Connection, job: &JobId, round: u32) -> Result<Vec<SignedAnswer>, Stop> {
    let sql = "SELECT node, key, body FROM said WHERE job = ?1 AND round = ?2 AND what = 'answered' ORDER BY node";
    rows(db, sql, params![job.as_str(), round], |row| {
        let (node, key): (NodeName, PublicKey) = (parsed(row, "node")?, parsed(row, "key")?);
        Ok(SignedAnswer { node, key, envelope: row.get("body")?, receipt: None })
    })
}
