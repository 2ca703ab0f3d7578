//! What the answers of a job cost and mean, on one sheet: for whoever must answer for a release.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use spe_kernel::{
    certificate::Certificate,
    conversion::{EpsilonAt, epsilon_at},
    disclosure::{Mechanism, NoisyOutput},
    dsse::PublicKey,
    federation::{NodeReport, Outcome, key_threshold},
    ids::{DatasetName, Digest, JobId, NodeName, PermitNumber, PersonName},
    job::Purpose,
    manifest::Kind,
    plan::{Plan, Planned},
    statistic::Statistic,
    units::{Loss, grid_one},
};
use spe_wire::view::{Parameter, Rounds, State, View};

use crate::{
    exit::Refused,
    output::Output,
    show::{EXACT, Table, epsilons_if, noise_name, number},
    verify::{Checked, Evidence, Signed},
};

/// [`ReleaseCertificate::format`] of this version.
const FORMAT: &str = "spe.release-certificate/1";

/// What none of the numbers covers.
const NOT_COVERED: [&str; 4] = [
    "sampling error, clamping at the declared bounds, and what the module computes: intervals cover the noise alone",
    "that the question was asked, by whom, when, and at which nodes",
    "whether the declared overlap and the bound on the number of people are true",
    "that each person has one pseudonym at a node",
];

/// A job's release, from the job as it was signed and the answers as the nodes signed them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReleaseCertificate {
    format: String,
    made_at: Timestamp,
    job: JobId,
    question: Question,
    cost: Cost,
    outputs: Vec<Released>,
    participants: Vec<Participant>,
    /// How far the rounds are; none if the module was run once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rounds: Option<Rounds>,
    /// The merged statistics, each with its interval of 95 % for the noise alone.
    statistics: Vec<Statistic>,
    /// What the rounds came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parameters: Option<Vec<Parameter>>,
    not_covered: Vec<String>,
}

/// What was asked, by whom and what for.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    /// Digest of `plan`: the question's identity.
    plan_digest: Digest,
    /// All that was fixed before any record was read.
    plan: Plan,
    module: Digest,
    dataset: DatasetName,
    person: PersonName,
    purpose: Purpose,
    permit: PermitNumber,
    signed_at: Timestamp,
}

/// What it cost at each node that answered.
#[derive(Debug, Serialize, Deserialize)]
struct Cost {
    /// Which datasets are told apart by at most the loss.
    neighbours: spe_kernel::certificate::Neighbours,
    /// At how many nodes one person may be (m).
    overlap: u32,
    /// The loss of the answer at each node, over all rounds.
    loss: Loss,
    /// What each node's ledger was charged: the loss, m times.
    charge: Loss,
    /// The charge as ε, at two δ on top of its own; none of an exact table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epsilon: Option<[EpsilonAt; 2]>,
    /// Said of an exact table, which no ε covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// How one output was made private.
#[derive(Debug, Serialize, Deserialize)]
struct Released {
    name: String,
    kind: String,
    /// In each round.
    loss: Loss,
    mechanism: Mechanism,
    /// σ of the Gaussian or b of the Laplace at each node, in units and in grid steps.
    scale: f64,
    scale_grid_steps: f64,
    /// What one data subject can change, in units and in grid steps; contributions are clipped to it.
    sensitivity: f64,
    sensitivity_grid_steps: u64,
    /// A grid step is 2 to the power of minus this.
    grid_bits: u8,
    /// Noisy counts below it are no released keys, in people at a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    /// Noisy counts below it are not shown; it protects nobody, and costs nothing.
    suppress_below: u32,
}

/// A node that answered.
#[derive(Debug, Serialize, Deserialize)]
struct Participant {
    node: NodeName,
    /// Signs its answers.
    key: PublicKey,
    /// The data it answered from.
    snapshot: Digest,
    /// Its ledger for the dataset: before and after the charge, and all there will ever be.
    ledger: Ledger,
    /// All that is spent there as ε, at two δ on top of its own; none where exact tables were bought too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spent_epsilon: Option<[EpsilonAt; 2]>,
    /// Exact tables of the dataset that were ever bought there, which no ε covers.
    #[serde(default)]
    exact_tables: u64,
    /// Digests of its signed answers, by round, from 0.
    answers: BTreeMap<u32, Digest>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ledger {
    before: Loss,
    after: Loss,
    budget: Loss,
}

/// Shows the certificate of a job that was checked, and writes it if it is asked to.
pub(crate) fn show(view: &View, checked: Checked, out: Option<PathBuf>, output: Output) -> Result<()> {
    let Checked::Signed(evidence) = checked else {
        bail!("job {} was not submitted from this profile, so what was asked is not known here", view.job)
    };
    if evidence.answers.iter().all(|signed| signed.answer.round != 0) {
        return Err(nothing(view));
    }
    let certificate = ReleaseCertificate::of(view, &evidence)?;
    if let Some(file) = &out {
        write(&certificate, file)?;
    }
    output.say(&certificate, || {
        let mut text = certificate.text();
        if let Some(file) = &out {
            text.push_str(&format!("written to {}\n", file.display()));
        }
        text
    })
}

/// Why there is nothing to certify, with the exit code that `spe job result` has for it.
fn nothing(view: &View) -> anyhow::Error {
    let nothing = format!("no node has answered job {}, so there is nothing to certify", view.job);
    let refused = |n: &NodeReport| match &n.outcome {
        Outcome::Refused { why, .. } => Some(why.clone()),
        _ => None,
    };
    match (view.state, view.nodes.iter().find_map(refused)) {
        (State::Cancelled, _) => Refused::state(format!("{nothing}: it was cancelled")),
        (State::Complete, Some(why)) => anyhow::Error::from(why).context(nothing),
        (State::Complete, None) => Refused::state(nothing),
        _ => Refused::waits(format!("{nothing} yet; follow it with: spe job watch {}", view.job)),
    }
}

fn write(certificate: &ReleaseCertificate, file: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(certificate)? + "\n";
    Ok(spe_wire::write_public(file, &json)?)
}

impl ReleaseCertificate {
    fn of(view: &View, evidence: &Evidence) -> Result<Self> {
        let (plan, body) = (evidence.plan(), evidence.job.body());
        let participants = participants(&evidence.answers)?;
        let first = first_answer(&evidence.answers)?;
        let Certificate { neighbours, overlap, charge, .. } = first.answer.certificate.clone();
        let epsilon = charge.map(|charge| charge.map(|at| epsilon_at(plan.charge(), at.delta)));
        let is_exact = plan.mechanism() == Mechanism::Exact;
        ensure!(is_exact == epsilon.is_none(), "the nodes certify an ε for an exact table, or none for noise");
        let warning = is_exact.then(|| EXACT.to_owned());
        ensure!(overlap == plan.overlap(), "the nodes certify another overlap than was asked");
        let outputs = plan.outputs().iter().zip(&first.answer.outputs);
        Ok(Self {
            format: FORMAT.into(),
            made_at: Timestamp::now(),
            job: view.job.clone(),
            question: Question {
                plan_digest: plan.digest(),
                plan: plan.clone(),
                module: plan.module(),
                dataset: plan.dataset().clone(),
                person: body.person.clone(),
                purpose: body.purpose,
                permit: body.permit.clone(),
                signed_at: body.signed_at,
            },
            cost: Cost { neighbours, overlap, loss: plan.loss(), charge: plan.charge(), epsilon, warning },
            outputs: outputs.map(|(planned, noisy)| released(planned, noisy, plan.suppress_below())).collect(),
            participants,
            rounds: view.rounds,
            statistics: view.statistics.clone(),
            parameters: view.parameters.clone(),
            not_covered: NOT_COVERED.map(str::to_owned).to_vec(),
        })
    }

    fn text(&self) -> String {
        let Cost { overlap, loss, charge, epsilon, .. } = &self.cost;
        let mut text = format!(
            "release certificate of job {}\nquestion   {}\nmodule     {}\ndataset    {}\nasked by   {} for {}, under permit {}\n\
             cost       {loss} at each node, charged {charge}, which is {}\n\
             {}, who may be at {overlap} node{}\n",
            self.job,
            self.question.plan_digest,
            self.question.module,
            self.question.dataset,
            self.question.person,
            self.question.purpose,
            self.question.permit,
            epsilons_if(epsilon.as_ref()),
            match epsilon {
                Some(_) => "protects   each person with all that is recorded about them",
                None => "protects   nobody by noise, only small cells are suppressed; it counts persons",
            },
            if *overlap == 1 { "" } else { "s" }
        );
        if let Some(Rounds { done, of }) = self.rounds {
            text.push_str(&format!("rounds     {done} of {of}\n"));
        }
        let mut outputs = Table::new(["output", "kind", "loss", "noise", "scale", "one person changes"]);
        for Released { name, kind, loss, mechanism, scale, sensitivity, .. } in &self.outputs {
            outputs.row([
                name.clone(),
                kind.replace('_', " "),
                loss.to_string(),
                noise_name(*mechanism).into(),
                number(*scale, *scale),
                number(*sensitivity, *sensitivity),
            ]);
        }
        let mut nodes = Table::new(["node", "ledger before", "after", "of", "answers"]);
        for Participant { node, ledger, answers, .. } in &self.participants {
            let last = answers.last_key_value().map(|(_, digest)| digest.short()).unwrap_or_default();
            let answers = if answers.len() > 1 { format!("{}, the last {last}", answers.len()) } else { last };
            nodes.row([
                node.to_string(),
                ledger.before.to_string(),
                ledger.after.to_string(),
                ledger.budget.to_string(),
                answers,
            ]);
        }
        text + &outputs.render() + &nodes.render()
    }
}

fn first_answer(answers: &[Signed]) -> Result<&Signed> {
    answers.iter().find(|s| s.answer.round == 0).context("no node has answered yet, so there is nothing to certify")
}

fn released(planned: &Planned, noisy: &NoisyOutput, suppress_below: u32) -> Released {
    let one = f64::from(grid_one(planned.grid_bits));
    #[expect(clippy::cast_precision_loss, reason = "for people; grid steps stand beside it")]
    let (sensitivity, threshold) = (noisy.sensitivity as f64 / one, key_threshold(planned, noisy.scale) as f64 / one);
    Released {
        name: planned.output.name.clone(),
        kind: planned.output.kind.name().to_owned(),
        loss: planned.loss,
        mechanism: noisy.mechanism,
        scale: noisy.scale / one,
        scale_grid_steps: noisy.scale,
        sensitivity,
        sensitivity_grid_steps: noisy.sensitivity,
        grid_bits: planned.grid_bits,
        threshold: matches!(planned.output.kind, Kind::Keys(_)).then_some(threshold),
        suppress_below,
    }
}

/// Each node that answered the first round, with what it says of its ledger.
fn participants(answers: &[Signed]) -> Result<Vec<Participant>> {
    let first = answers.iter().filter(|s| s.answer.round == 0);
    let participant = |s: &Signed| {
        let Certificate { spent_before, spent_after, budget, spent, exact_tables, .. } = s.answer.certificate.clone();
        let mine = answers.iter().filter(|a| a.answer.node == s.answer.node);
        for other in mine.clone() {
            ensure!(
                other.answer.snapshot == s.answer.snapshot,
                "node {} answered one job from two snapshots",
                s.answer.node
            );
        }
        Ok(Participant {
            node: s.answer.node.clone(),
            key: s.key,
            snapshot: s.answer.snapshot,
            ledger: Ledger { before: spent_before, after: spent_after, budget },
            spent_epsilon: spent,
            exact_tables,
            answers: mine.map(|a| (a.answer.round, a.digest)).collect(),
        })
    };
    first.map(participant).collect()
}
