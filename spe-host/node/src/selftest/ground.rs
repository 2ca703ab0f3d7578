//! A proving ground: a node in a folder of its own, over people whom nobody is.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use spe_kernel::{
    admission::NodePolicy,
    category::Category,
    dataset::{DatasetSchema, TableSchema},
    dsse::SecretKey,
    fault::Fault,
    gate::OutputRules,
    ids::Digest,
    job::{JOB_FORMAT, JobBody, Purpose},
    keys::{KeySource, LocalKeys},
    pace::Pace,
    permit::{Modules, PermitBody, PermitData, PermitPerson},
    person::People,
    plan::{Choices, Plan},
    purpose::Article53,
    units::{Loss, Measure},
};
use spe_sandbox::inspect;
use spe_vault::{Declaration, Ingest, Source};

use super::people::{Person, csv, declaration};
use crate::{
    config::{FILE, NodeConfig, Served},
    run::Submitted,
    site::Site,
};

const DOING: &str = "making a proving ground";
const ASKING: &str = "asking a proving ground";
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
    keys: [u8; 32],
    access_body: SecretKey,
    researcher: SecretKey,
    /// When its permits were issued: however often it is asked, a node sees one permit of each measure.
    issued_at: Timestamp,
}

impl Ground {
    /// Makes a node in `folder`, which must be there, and ingests `people` as an operator would. The keys come from `seed`.
    ///
    /// # Errors
    /// A disk that is full, or people who are not as declared.
    pub fn new(folder: &Path, seed: &[u8; 32], people: &[Person], rules: &Rules) -> Result<Self, Fault> {
        Self::holding(folder, seed, &declaration(rules.subjects_max), &csv(people), rules)
    }

    /// The same with any dataset of one table, declared as `docs/dataset-format.md` says; `rules.subjects_max` is not looked at.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn holding(folder: &Path, seed: &[u8; 32], declaration: &str, csv: &str, rules: &Rules) -> Result<Self, Fault> {
        let ground = Self::at(folder, seed);
        let declaration = Declaration::parse(declaration).map_err(Fault::while_(DOING))?;
        ground.configure(&declaration, rules, &key("spe selftest node", seed))?;
        ground.ingest(&declaration, csv)?;
        Ok(ground)
    }

    /// The node that was made in `folder` from `seed`, or is a copy of it.
    pub fn at(folder: &Path, seed: &[u8; 32]) -> Self {
        Self {
            folder: folder.to_owned(),
            keys: blake3::derive_key("spe selftest keys", seed),
            access_body: key("spe selftest access body", seed),
            researcher: key("spe selftest researcher", seed),
            issued_at: now(),
        }
    }

    /// The keys of nobody's data: there is no key holder.
    pub fn keys(&self) -> Arc<dyn KeySource> {
        Arc::new(LocalKeys::from_seed(self.keys))
    }

    /// The node's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn configure(&self, declaration: &Declaration, rules: &Rules, signer: &SecretKey) -> Result<(), Fault> {
        let served = (declaration.schema().name.clone(), Served { budget: budget(rules.measure) });
        let config = NodeConfig {
            name: "ground".parse().map_err(Fault::while_(DOING))?,
            data_dir: "data".into(),
            connection_file: "connection.toml".into(),
            signing_key_file: "signing.key".into(),
            keyholder_file: "keyholder.toml".into(),
            policy_file: "policy.toml".into(),
            rules_file: None,
            log_retention_days: spe_kernel::audit::RETENTION_DAYS_MIN,
            workers: rules.workers,
            datasets: BTreeMap::from([served]),
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
            opt_out_exceptions: false,
            loss_per_job_min: Vec::new(),
            loss_per_job_max: vec![budget(rules.measure)],
            fuel_per_subject_max: u64::MAX >> 1,
            guest_memory_bytes_max: super::GUEST_MEMORY_BYTES_MAX,
            suppress_below_min: 0,
            release: rules.pace,
            job_age_days_max: 1,
            officer_days_max: 30,
            people: People::default(),
            outputs: OutputRules::default(),
            officers: Vec::new(),
            exact_tables: None,
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Fault> {
        fs::write(self.folder.join(name), text).map_err(Fault::while_(DOING))
    }

    fn ingest(&self, declaration: &Declaration, csv: &str) -> Result<(), Fault> {
        let (file, vault) = (self.folder.join("table.csv"), self.folder.join("data/vault"));
        fs::write(&file, csv).map_err(Fault::while_(DOING))?;
        let tables = &declaration.schema().tables;
        let source = |table: &TableSchema| Source { table: table.name.clone(), file: file.clone(), rows: None };
        let sources: Vec<_> = tables.iter().map(source).collect();
        Ingest::new(declaration, &sources, &*self.keys(), &vault).run(|_| {}).map_err(Fault::while_(DOING))?;
        fs::remove_file(&file).map_err(Fault::while_(DOING))
    }

    /// Opens the node.
    ///
    /// # Errors
    /// As [`Site::open`].
    pub fn open(&self, compiler: Compiler) -> Result<Site, Fault> {
        Site::open_with(&self.folder, compiler, self.keys()).map_err(Fault::while_("opening a proving ground"))
    }

    /// What the researcher signs to have `wasm` run, and the plan of it.
    ///
    /// # Errors
    /// A module that is refused.
    pub fn question(&self, site: &Site, wasm: &[u8], choices: &Choices) -> Result<(Submitted, Plan), Fault> {
        let held = site.vault.datasets().next().ok_or_else(|| Fault::new(ASKING, "there is no dataset"))?;
        self.question_over(held.schema(), wasm, choices)
    }

    /// The same, for who knows the schema only.
    ///
    /// # Errors
    /// As [`Self::question`].
    pub fn question_over(
        &self,
        schema: &DatasetSchema,
        wasm: &[u8],
        choices: &Choices,
    ) -> Result<(Submitted, Plan), Fault> {
        let inspection = inspect(wasm).map_err(Fault::while_(ASKING))?;
        let plan =
            Plan::new(&inspection.manifest, inspection.digest, schema, choices).map_err(Fault::while_(ASKING))?;
        let permit = self.permit(schema, plan.measure())?;
        let job = JobBody {
            format: JOB_FORMAT.into(),
            permit: permit.number.clone(),
            person: "mallory".parse().map_err(Fault::while_(ASKING))?,
            purpose: Purpose::ScientificResearch,
            nodes: Vec::new(),
            signed_at: now(),
            plan: plan.clone(),
            identity: None,
        };
        Ok((Submitted { job: job.sign(&self.researcher), permit: permit.sign(&self.access_body), next: None }, plan))
    }

    fn permit(&self, schema: &DatasetSchema, measure: Measure) -> Result<PermitBody, Fault> {
        let (now, day) = (self.issued_at, SignedDuration::from_hours(24));
        let columns = |table: &TableSchema| -> Vec<String> {
            table.columns.iter().map(|column| format!("{}.{}", table.name, column.name)).collect()
        };
        let period = (
            now.checked_sub(day).map_err(Fault::while_(ASKING))?,
            now.checked_add(day).map_err(Fault::while_(ASKING))?,
        );
        let number = "selftest".parse().map_err(Fault::while_(ASKING))?;
        let mut permit = PermitBody::granted(number, period, budget(measure));
        let mallory = "mallory".parse().map_err(Fault::while_(ASKING))?;
        permit.issued_at = now;
        permit.persons = vec![PermitPerson::investigator(mallory, self.researcher.public())];
        permit.purpose.article53 = Purpose::ALL.map(Article53).to_vec();
        let data = |table: &TableSchema| PermitData {
            dataset: schema.name.clone(),
            nodes: Vec::new(),
            category: table.category.unwrap_or(Category::HealthRecords),
            columns: columns(table),
            time_range: None,
            format: "table".into(),
            pseudonymised: true,
        };
        permit.data = schema.tables.iter().map(data).collect();
        // A number is one document's.
        let content = serde_json::to_vec(&permit).map_err(Fault::while_(ASKING))?;
        permit.number = format!("selftest-{}", Digest::of(&content).short()).parse().map_err(Fault::while_(ASKING))?;
        permit.original = permit.number.clone();
        Ok(permit)
    }
}

fn key(purpose: &str, seed: &[u8; 32]) -> SecretKey {
    SecretKey::from_seed(&blake3::derive_key(purpose, seed))
}

const fn budget(measure: Measure) -> Loss {
    Loss::from_pico(measure, BUDGET.0).with_delta_atto(BUDGET.1)
}

/// Now, in whole seconds: what is signed has the same length each time.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
