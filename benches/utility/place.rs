//! A folder with nodes, each with real data, opened in this process.

use std::{
    cell::Cell,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use jiff::Timestamp;
use spe_benches::Error;
use spe_kernel::{
    dataset::{DatasetSchema, TableSchema},
    dsse::SecretKey,
    ids::NodeName,
    job::{JOB_FORMAT, JobBody, Purpose},
    permit::{PermitBody, PermitData, PermitPerson},
    plan::Plan,
    purpose::Article53,
    units::{Loss, Measure},
};
use spe_node::site::Site;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::data::Derived;

/// More than all that is asked here, in `rho` or `epsilon`.
const CAP: u32 = 1_000_000;
/// The permit, and who may ask under it.
const BENCH: &str = "bench";

/// Where the nodes are, and who asks them.
pub(crate) struct Place {
    dir: TempDir,
    spe: PathBuf,
    keyholder: Child,
    access_body: SecretKey,
    researcher: SecretKey,
    /// Drives the nodes' scans.
    pub(crate) runtime: Runtime,
    jobs: Cell<u32>,
}

/// One node and what a researcher needs to ask it.
pub(crate) struct Node {
    /// Its rooms.
    pub(crate) site: Site,
    /// Its name.
    pub(crate) name: NodeName,
    /// What its dataset is.
    pub(crate) schema: DatasetSchema,
    /// Signed, for all columns of its dataset.
    pub(crate) permit: Vec<u8>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.keyholder.kill().ok();
        self.keyholder.wait().ok();
    }
}

/// A key holder in a process of its own, which listens when this returns.
fn keyholder(spe: &Path, dir: &Path) -> Result<Child, Error> {
    let free = (20_000_u16..32_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let port = free.ok_or("no free port between 20000 and 32000")?;
    let command = |args: &[&str]| {
        let mut command = Command::new(spe);
        command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let listen = format!("127.0.0.1:{port}");
    command(&["keyholder", "init", "keyholder", "--listen", &listen, "--host", "localhost"]).status()?;
    let child = command(&["keyholder", "run", "keyholder"]).spawn()?;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(child)
}

impl Place {
    /// An empty place.
    pub(crate) fn new() -> Result<Self, Error> {
        let exe = std::env::current_exe()?;
        let spe = exe.ancestors().nth(2).ok_or("no target folder")?.join("spe");
        if !spe.exists() {
            return Err("build the binary first: cargo build --release".into());
        }
        let (access_body, researcher) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build()?;
        let dir = tempfile::tempdir()?;
        let keyholder = keyholder(&spe, dir.path())?;
        let place = Self { dir, spe, keyholder, access_body, researcher, runtime, jobs: Cell::new(0) };
        place.spe(&["hub", "init", "hub", "--host", "localhost"])?;
        Ok(place)
    }

    fn spe(&self, args: &[&str]) -> Result<(), Error> {
        let done = Command::new(&self.spe).args(args).arg("--json").current_dir(self.dir.path()).output()?;
        if done.status.success() {
            return Ok(());
        }
        Err(format!("spe {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr)).into())
    }

    /// A node that holds `data`, or those rows of it, accounted in `measure`.
    ///
    /// The operator's commands make it; they are those of a node that serves a hub.
    pub(crate) fn node(&self, name: &str, data: &Derived, measure: Measure, rows: Option<&str>) -> Result<Node, Error> {
        let invitation = format!("{name}-invitation");
        self.spe(&["hub", "invite", "hub", "--node", name, "--out", &invitation])?;
        let key = self.access_body.public().to_string();
        let keys = format!("{name}-keys");
        self.spe(&["keyholder", "invite", "keyholder", "--node", name, "--out", &keys])?;
        let init = ["node", "init", name, "--connection", &invitation, "--keyholder", &keys, "--access-body", &key];
        self.spe(&[&init[..], &["--unmeasured"]].concat())?;
        let folder = self.dir.path().join(name);
        allow_everything(&folder.join("policy.toml"))?;
        let cap = format!("{}={CAP},delta=0.5", measure.parameter());
        let (declaration, table) = (data.declaration(), format!("{}={}", data.table, data.csv().display()));
        let declaration = declaration.display().to_string();
        let ingest = ["data", "ingest", name, "--declaration", &declaration, "--table", &table, "--budget", &cap];
        let filter: Vec<&str> = rows.map(|rows| vec!["--where", rows]).unwrap_or_default();
        self.spe(&[&ingest[..], &filter].concat())?;
        let site = Site::open(&folder, (self.spe.clone(), vec!["compile-module".into()]))?;
        let schema = site.offer(&data.name.parse()?).map_err(|stop| format!("{stop:?}"))?.schema;
        let permit = self.permit(&schema, cap.parse()?)?;
        Ok(Node { name: name.parse()?, site, schema, permit })
    }

    fn permit(&self, schema: &DatasetSchema, loss_cap: Loss) -> Result<Vec<u8>, Error> {
        let columns = |table: &TableSchema| {
            let name = table.name.clone();
            table.columns.iter().map(move |column| format!("{name}.{}", column.name)).collect::<Vec<_>>()
        };
        let period = ("2026-01-01T00:00:00Z".parse()?, "2036-01-01T00:00:00Z".parse()?);
        let mut body = PermitBody::granted(BENCH.parse()?, period, loss_cap);
        body.persons = vec![PermitPerson::investigator(BENCH.parse()?, self.researcher.public())];
        body.purpose.article53 = vec![Article53(Purpose::ScientificResearch)];
        body.data = vec![PermitData {
            dataset: schema.name.clone(),
            nodes: vec![],
            category: "a".parse()?,
            columns: schema.tables.iter().flat_map(columns).collect(),
            time_range: None,
            format: "table".into(),
            pseudonymised: true,
        }];
        Ok(body.sign(&self.access_body))
    }

    /// A number that no plan had before: the same question again is another one, with noise of its own.
    pub(crate) fn attempt(&self) -> u32 {
        self.jobs.replace(self.jobs.get() + 1)
    }

    /// The researcher's signature under a plan.
    pub(crate) fn sign(&self, plan: &Plan) -> Result<Vec<u8>, Error> {
        let body = JobBody {
            format: JOB_FORMAT.into(),
            permit: BENCH.parse()?,
            person: BENCH.parse()?,
            purpose: Purpose::ScientificResearch,
            nodes: vec![],
            signed_at: Timestamp::now(),
            plan: plan.clone(),
            identity: None,
        };
        Ok(body.sign(&self.researcher))
    }
}

/// A policy that leaves it to the bench what to ask, and how long it may take.
fn allow_everything(policy: &Path) -> Result<(), Error> {
    let text = std::fs::read_to_string(policy)?;
    let line = |line: &str| match line.split_once(" = ").map_or("", |(name, _)| name) {
        "loss_per_job_min" => "loss_per_job_min = []".to_owned(),
        "loss_per_job_max" => {
            let cap = |measure: Measure| format!("\"{}={CAP},delta=0.5\"", measure.parameter());
            format!("loss_per_job_max = [{}, {}]", cap(Measure::Zcdp), cap(Measure::Pure))
        }
        "hold" => "hold = \"slot\"".to_owned(),
        _ => line.to_owned(),
    };
    let lines: Vec<_> = text.lines().map(line).collect();
    Ok(std::fs::write(policy, lines.join("\n"))?)
}
