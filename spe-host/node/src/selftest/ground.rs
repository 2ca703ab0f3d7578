//! A proving ground: a node in a folder of its own, over people whom nobody is.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use spe_kernel::{
    admission::NodePolicy,
    dsse::SecretKey,
    fault::Fault,
    ids::DatasetName,
    job::{JOB_FORMAT, JobBody, Purpose},
    pace::Pace,
    permit::{Modules, PERMIT_FORMAT, PermitBody, PermitData, PermitPerson},
    plan::{Choices, Plan},
    units::{Loss, Measure},
};
use spe_sandbox::inspect;
use spe_vault::{Declaration, Ingest, PseudonymKey, Source};

use super::people::{Person, csv, declaration};
use crate::{
    config::{FILE, NodeConfig, Served},
    run::Submitted,
    site::Site,
};

const DOING: &str = "making a proving ground";
/// What all questions together may cost: nobody is hurt, and the ledger can count as far.
const BUDGET: (u64, u64) = (9_000_000_000_000_000_000, 500_000_000_000_000_000);
/// The program, with its arguments, that calls [`spe_sandbox::compile_child`].
pub type Compiler = (PathBuf, Vec<OsString>);

/// What a proving ground's operator decides.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// When answers leave.
    pub pace: Pace,
    /// What losses are measured in.
    pub measure: Measure,
    /// How many people there are at most, publicly.
    pub subjects_max: u32,
    /// Threads that map data subjects.
    pub workers: usize,
}

/// A node's folder, and the keys of those who may ask it.
pub struct Ground {
    folder: PathBuf,
    access_body: SecretKey,
    researcher: SecretKey,
}

impl Ground {
    /// Makes a node in `folder`, which must be there, and ingests `people` as an operator would. The keys come from `seed`.
    ///
    /// # Errors
    /// A disk that is full, or people who are not as declared.
    pub fn new(folder: &Path, seed: &[u8; 32], people: &[Person], rules: &Rules) -> Result<Self, Fault> {
        let ground = Self::at(folder, seed);
        let pseudonyms = PseudonymKey::from_bytes(blake3::derive_key("spe selftest pseudonyms", seed));
        ground.configure("ground", rules, &key("spe selftest node", seed))?;
        ground.ingest(people, rules.subjects_max, &pseudonyms)?;
        Ok(ground)
    }

    /// The node that was made in `folder` from `seed`, or is a copy of it.
    pub fn at(folder: &Path, seed: &[u8; 32]) -> Self {
        Self {
            folder: folder.to_owned(),
            access_body: key("spe selftest access body", seed),
            researcher: key("spe selftest researcher", seed),
        }
    }

    /// The node's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn configure(&self, name: &str, rules: &Rules, signer: &SecretKey) -> Result<(), Fault> {
        let config = NodeConfig {
            name: name.parse().map_err(Fault::while_(DOING))?,
            data_dir: "data".into(),
            connection_file: "connection.toml".into(),
            signing_key_file: "signing.key".into(),
            pseudonym_key_file: "pseudonym.key".into(),
            policy_file: "policy.toml".into(),
            workers: rules.workers,
            datasets: BTreeMap::from([(dataset()?, Served { budget: budget(rules.measure) })]),
        };
        fs::create_dir_all(self.folder.join("data/vault")).map_err(Fault::while_(DOING))?;
        self.write("signing.key", &signer.expose_text())?;
        self.write("policy.toml", &toml::to_string(&self.policy(rules)).map_err(Fault::while_(DOING))?)?;
        self.write(FILE, &toml::to_string(&config).map_err(Fault::while_(DOING))?)
    }

    fn policy(&self, rules: &Rules) -> NodePolicy {
        NodePolicy {
            access_bodies: vec![self.access_body.public()],
            purposes: Purpose::ALL.to_vec(),
            modules: Modules::Any,
            loss_per_job_min: Vec::new(),
            loss_per_job_max: vec![budget(rules.measure)],
            fuel_per_subject_max: u64::MAX >> 1,
            guest_memory_bytes_max: 64 << 20,
            suppress_below_min: 0,
            release: rules.pace,
            job_age_days_max: 1,
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Fault> {
        fs::write(self.folder.join(name), text).map_err(Fault::while_(DOING))
    }

    /// Puts `people` in the place of whoever is there.
    fn ingest(&self, people: &[Person], subjects_max: u32, key: &PseudonymKey) -> Result<(), Fault> {
        let declaration = Declaration::parse(&declaration(subjects_max)).map_err(Fault::while_(DOING))?;
        let (file, vault) = (self.folder.join("visits.csv"), self.folder.join("data/vault"));
        fs::write(&file, csv(people)).map_err(Fault::while_(DOING))?;
        let sources =
            [Source { table: "visits".parse().map_err(Fault::while_(DOING))?, file: file.clone(), rows: None }];
        Ingest::new(&declaration, &sources, key, &vault).run(|_| {}).map_err(Fault::while_(DOING))?;
        fs::remove_file(&file).map_err(Fault::while_(DOING))
    }

    /// Opens the node.
    ///
    /// # Errors
    /// As [`Site::open`].
    pub fn open(&self, compiler: Compiler) -> Result<Site, Fault> {
        Site::open(&self.folder, compiler).map_err(Fault::while_("opening a proving ground"))
    }

    /// What the researcher signs to have `wasm` run, and the plan of it.
    ///
    /// # Errors
    /// A module that is refused.
    pub fn question(&self, site: &Site, wasm: &[u8], choices: &Choices) -> Result<(Submitted, Plan), Fault> {
        let asking = "asking a proving ground";
        let inspection = inspect(wasm).map_err(Fault::while_(asking))?;
        let held = site.vault.dataset(&dataset()?).ok_or_else(|| Fault::new(asking, "there is no dataset"))?;
        let plan = Plan::new(&inspection.manifest, inspection.digest, held.schema(), choices);
        let plan = plan.map_err(Fault::while_(asking))?;
        let job = JobBody {
            format: JOB_FORMAT.into(),
            permit: "selftest".parse().map_err(Fault::while_(asking))?,
            person: "mallory".parse().map_err(Fault::while_(asking))?,
            purpose: Purpose::ScientificResearch,
            nodes: Vec::new(),
            signed_at: Timestamp::now(),
            plan: plan.clone(),
        };
        let permit = self.permit(plan.measure())?;
        Ok((Submitted { job: job.sign(&self.researcher), permit: permit.sign(&self.access_body), next: None }, plan))
    }

    fn permit(&self, measure: Measure) -> Result<PermitBody, Fault> {
        let (asking, now) = ("signing a permit", Timestamp::now());
        let day = SignedDuration::from_hours(24);
        Ok(PermitBody {
            format: PERMIT_FORMAT.into(),
            number: "selftest".parse().map_err(Fault::while_(asking))?,
            issuer: "the self-test".into(),
            issued_at: now,
            valid_from: now.checked_sub(day).map_err(Fault::while_(asking))?,
            valid_until: now.checked_add(day).map_err(Fault::while_(asking))?,
            persons: vec![PermitPerson {
                name: "mallory".parse().map_err(Fault::while_(asking))?,
                key: self.researcher.public(),
            }],
            purposes: Purpose::ALL.to_vec(),
            data: vec![PermitData {
                dataset: dataset()?,
                columns: ["visits.target", "visits.amount", "visits.note"].map(String::from).to_vec(),
            }],
            modules: Modules::Any,
            loss_cap: budget(measure),
        })
    }
}

fn key(purpose: &str, seed: &[u8; 32]) -> SecretKey {
    SecretKey::from_seed(&blake3::derive_key(purpose, seed))
}

const fn budget(measure: Measure) -> Loss {
    Loss::from_pico(measure, BUDGET.0).with_delta_atto(BUDGET.1)
}

fn dataset() -> Result<DatasetName, Fault> {
    "evil".parse().map_err(Fault::while_(DOING))
}
