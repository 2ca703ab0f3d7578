//! The hub is not believed: the researcher merges the nodes' signed answers again, and runs the rounds again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use spe_kernel::{
    dataset::DatasetSchema,
    disclosure::Answer,
    dsse::PublicKey,
    federation::{Outcome, merge, open_answer},
    ids::{Digest, JobId, NodeName},
    job::Job,
    plan::Plan,
};
use spe_wire::{
    HubClient, SignedAnswer,
    view::{Parameter, Rounds, State, View},
};

use crate::{
    audit::{self, Receipted},
    connect::Profile,
    replay::{Replay, replay},
    workshop::{Workshop, told},
};

/// Where a profile keeps the jobs that it signed, with what they need to be checked, and the nodes' keys as it first saw them.
const JOBS: &str = "jobs";
const KNOWN_NODES: &str = "known-nodes.toml";

/// What checking a view came to.
pub(crate) enum Checked {
    /// The view was made again from what the nodes signed.
    Signed(Box<Evidence>),
    /// The job was not submitted from here, so its plan is not known but from the hub.
    Unknown,
}

/// A job and its answers, each opened with its node's key.
pub(crate) struct Evidence {
    /// The job, as it was signed here.
    pub(crate) job: Job,
    /// The answers of all rounds.
    pub(crate) answers: Vec<Signed>,
    /// Keys that were never seen before.
    pub(crate) new_keys: usize,
}

/// An answer, and who signed it.
pub(crate) struct Signed {
    /// The node's key.
    pub(crate) key: PublicKey,
    /// Digest of the signed envelope.
    pub(crate) digest: Digest,
    /// The signed envelope.
    pub(crate) envelope: Vec<u8>,
    /// What was signed.
    pub(crate) answer: Answer,
    /// Whether it is in the node's audit log.
    pub(crate) receipt: Receipted,
}

impl Evidence {
    /// What was asked.
    pub(crate) const fn plan(&self) -> &Plan {
        &self.job.body().plan
    }

    /// The answers to one round.
    fn round(&self, round: u32) -> Vec<Answer> {
        self.answers.iter().map(|s| &s.answer).filter(|a| a.round == round).cloned().collect()
    }

    /// The answers of each round, the one under way included.
    fn rounds(&self) -> Vec<Vec<Answer>> {
        let end = self.answers.iter().map(|s| s.answer.round + 1).max().unwrap_or(0);
        (0..end).map(|round| self.round(round)).collect()
    }
}

/// Keeps a signed job, and what its rounds need to be computed again: its plan says what an answer must look like.
pub(crate) fn remember(
    profile: &Profile,
    id: &JobId,
    signed: &[u8],
    wasm: &[u8],
    schema: &DatasetSchema,
) -> Result<()> {
    let kept = Kept::of(profile, id);
    let folder = profile.file(JOBS);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let write =
        |file: &Path, bytes: &[u8]| std::fs::write(file, bytes).with_context(|| format!("writing {}", file.display()));
    if !Job::verify(signed)?.body().plan.state().is_empty() {
        write(&kept.schema, &serde_json::to_vec(schema)?)?;
        write(&kept.module, wasm)?;
    }
    write(&kept.job, signed)
}

/// Where a job's files are.
struct Kept {
    job: PathBuf,
    module: PathBuf,
    schema: PathBuf,
}

impl Kept {
    fn of(profile: &Profile, id: &JobId) -> Self {
        let file = |ending: &str| profile.file(JOBS).join(format!("{id}.{ending}"));
        Self { job: file("json"), module: file("wasm"), schema: file("schema.json") }
    }
}

/// The job as it was signed here; none if it was submitted from elsewhere.
pub(crate) fn signed_here(profile: &Profile, id: &JobId) -> Result<Option<Job>> {
    match std::fs::read(Kept::of(profile, id).job) {
        Ok(signed) => Ok(Some(Job::verify(&signed)?)),
        Err(_) => Ok(None),
    }
}

/// Opens each answer with its node's key and puts what they give in the place of what the hub shows.
///
/// An answer counts once, from a node that was asked; a node that the view shows without an answer here is an error, and so are
/// rounds that the answers do not give.
pub(crate) async fn check(hub: &HubClient, profile: &Profile, view: &mut View) -> Result<Checked> {
    let Some(job) = signed_here(profile, &view.job)? else { return Ok(Checked::Unknown) };
    ensure!(job.body().plan.digest() == view.plan, "the hub shows the result of another plan under job {}", view.job);
    let signed = hub.answers(&view.job).await?.collect().await?;
    let evidence = open(job, signed, &profile.file(KNOWN_NODES), profile.witness()?)?;
    shown_are_there(&evidence, view)?;
    let in_rounds = !evidence.plan().state().is_empty();
    ensure!(
        view.rounds.is_some() == in_rounds,
        "the hub shows a job with rounds as one without, or the other way round"
    );
    match view.rounds {
        None => set_result(view, evidence.plan(), &evidence.round(0))?,
        Some(shown) => set_rounds(view, &evidence, shown, profile)?,
    }
    Ok(Checked::Signed(Box::new(evidence)))
}

fn open(job: Job, signed: Vec<SignedAnswer>, known_nodes: &Path, witness: Option<PublicKey>) -> Result<Evidence> {
    let mut known = KnownNodes::read(known_nodes)?;
    let (mut answers, mut seen) = (Vec::new(), BTreeSet::new());
    for SignedAnswer { node, key, envelope, receipt } in signed {
        known.expect(&node, key)?;
        ensure!(job.asks(&node), "the hub passes on an answer of node {node}, which was not asked");
        let answer = open_answer(&envelope, &job.body().plan, &node, key);
        let answer = answer.map_err(|why| anyhow::anyhow!("the hub passes on a bad answer of node {node}: {why}"))?;
        ensure!(seen.insert((node.clone(), answer.round)), "the hub passes on node {node}'s answer twice");
        let receipt = audit::check(receipt, (&node, key), &envelope, witness);
        let receipt = receipt.with_context(|| format!("the receipt of node {node} for its answer does not hold"))?;
        answers.push(Signed { key, digest: Digest::of(&envelope), envelope, answer, receipt });
    }
    Ok(Evidence { job, answers, new_keys: known.write(known_nodes)? })
}

/// Every node that is shown with an answer has that answer here.
fn shown_are_there(evidence: &Evidence, view: &View) -> Result<()> {
    for report in &view.nodes {
        let Outcome::Answered { answer, .. } = &report.outcome else { continue };
        let here = evidence.answers.iter().any(|s| s.answer.node == report.node && s.digest == *answer);
        ensure!(here, "the hub shows an answer of node {}, and does not have it", report.node);
    }
    Ok(())
}

/// Coverage is a claim too: it is counted here.
fn set_result(view: &mut View, plan: &Plan, answers: &[Answer]) -> Result<()> {
    view.answered = u32::try_from(answers.len())?;
    view.coverage = format!("{} of {} nodes", view.answered, view.asked);
    view.statistics = merge(plan, answers);
    Ok(())
}

fn set_rounds(view: &mut View, evidence: &Evidence, shown: Rounds, profile: &Profile) -> Result<()> {
    let plan = evidence.plan();
    ensure!(shown.of == plan.rounds(), "the hub shows {} rounds, and {} were asked", shown.of, plan.rounds());
    let Replay { done, last } = replay_here(view, evidence, shown.done, profile)?;
    let named = |state: Vec<f64>| {
        plan.state().iter().zip(state).map(|(name, value)| Parameter { name: name.clone(), value }).collect::<Vec<_>>()
    };
    let last = last.map(named);
    ensure!(
        view.parameters.is_none() || view.parameters == last,
        "the hub shows other parameters than the nodes' signed answers give"
    );
    // Of a job that every node has left before its end, what a round in the middle gave is no result.
    let is_result = last.is_some() || view.state != State::Complete;
    let answers = done.checked_sub(1).filter(|_| is_result).map_or_else(Vec::new, |round| evidence.round(round));
    set_result(view, plan, &answers)?;
    view.parameters = last.filter(|_| view.state.is_final());
    Ok(())
}

/// Runs the module's own `spe_update` over the signed answers.
fn replay_here(view: &View, evidence: &Evidence, done: u32, profile: &Profile) -> Result<Replay> {
    let rounds = evidence.rounds();
    if rounds.is_empty() && done == 0 {
        return Ok(Replay { done, last: None });
    }
    let kept = Kept::of(profile, &view.job);
    let need = |file: &Path| {
        std::fs::read(file).with_context(|| format!("the rounds cannot be computed again without {}", file.display()))
    };
    let (wasm, schema) = (need(&kept.module)?, serde_json::from_slice(&need(&kept.schema)?)?);
    let plan = evidence.plan();
    let module = Workshop::open(plan.memory_bytes_max())?.approve(&wasm, plan, &schema)?;
    replay(plan, &rounds, done, |input| module.update(input).map_err(told))
}

/// The nodes' keys, each believed at first sight and held to afterwards.
struct KnownNodes {
    keys: BTreeMap<NodeName, PublicKey>,
    new: usize,
}

impl KnownNodes {
    fn read(file: &Path) -> Result<Self> {
        let keys = if file.exists() { spe_node::config::read_toml(file)? } else { BTreeMap::new() };
        Ok(Self { keys, new: 0 })
    }

    fn expect(&mut self, node: &NodeName, key: PublicKey) -> Result<()> {
        match self.keys.get(node) {
            Some(known) if *known != key => bail!(
                "node {node} signs with {key}, but was known by {known}; ask its operator, and correct {KNOWN_NODES} if the key is theirs"
            ),
            Some(_) => Ok(()),
            None => {
                self.new += 1;
                self.keys.insert(node.clone(), key);
                Ok(())
            }
        }
    }

    /// Keeps what was learnt; how many keys that were.
    fn write(&self, file: &Path) -> Result<usize> {
        if self.new > 0 {
            std::fs::write(file, toml::to_string(&self.keys)?)
                .with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(self.new)
    }
}
