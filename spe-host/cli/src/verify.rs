//! The hub is not believed: the researcher merges the nodes' signed answers again.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, bail, ensure};
use spe_kernel::{
    dsse::PublicKey,
    federation::{Outcome, merge as merge_answers, open_answer},
    ids::{JobId, NodeName},
    job::Job,
};
use spe_wire::{HubClient, SignedAnswer, view::View};

use crate::connect::Profile;

/// Where a profile keeps the jobs that it signed, and the nodes' keys as it first saw them.
const JOBS: &str = "jobs";
const KNOWN_NODES: &str = "known-nodes.toml";

/// What checking a view came to.
pub(crate) enum Checked {
    /// The statistics were merged here, from so many answers, each signed by its node; so many keys were never seen before.
    Signed { answers: usize, new_keys: usize },
    /// The job was not submitted from here, so its plan is not known but from the hub.
    Unknown,
}

/// Keeps a signed job: its plan says what an answer must look like.
pub(crate) fn remember(profile: &Profile, id: &JobId, signed: &[u8]) -> Result<()> {
    let folder = profile.file(JOBS);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let file = folder.join(format!("{id}.json"));
    std::fs::write(&file, signed).with_context(|| format!("writing {}", file.display()))
}

/// Opens each answer with its node's key and puts their merge in the place of the hub's.
///
/// An answer counts once, from a node that was asked; a node that the view shows without an answer here is an error.
pub(crate) async fn merge(hub: &HubClient, profile: &Profile, view: &mut View) -> Result<Checked> {
    let Ok(signed) = std::fs::read(profile.file(JOBS).join(format!("{}.json", view.job))) else {
        return Ok(Checked::Unknown);
    };
    let job = Job::verify(&signed)?;
    let plan = &job.body().plan;
    ensure!(plan.digest() == view.plan, "the hub shows the result of another plan under job {}", view.job);
    let mut known = KnownNodes::read(&profile.file(KNOWN_NODES))?;
    let mut answers = BTreeMap::new();
    for SignedAnswer { node, key, envelope } in hub.answers(&view.job).await?.collect().await? {
        known.expect(&node, key)?;
        ensure!(job.asks(&node), "the hub passes on an answer of node {node}, which was not asked");
        let opened = open_answer(&envelope, plan, &node, key);
        let opened = opened.map_err(|why| anyhow::anyhow!("the hub passes on a bad answer of node {node}: {why}"))?;
        ensure!(answers.insert(node.clone(), opened).is_none(), "the hub passes on node {node}'s answer twice");
    }
    for report in &view.nodes {
        let shown = matches!(report.outcome, Outcome::Answered { .. });
        ensure!(
            !shown || answers.contains_key(&report.node),
            "the hub shows an answer of node {}, and does not have it",
            report.node
        );
    }
    let new_keys = known.write(&profile.file(KNOWN_NODES))?;
    let answers: Vec<_> = answers.into_values().collect();
    // Coverage is a claim too: it is counted here.
    view.answered = u32::try_from(answers.len())?;
    view.coverage = format!("{} of {} nodes", view.answered, view.asked);
    view.statistics = merge_answers(plan, &answers);
    Ok(Checked::Signed { answers: answers.len(), new_keys })
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
