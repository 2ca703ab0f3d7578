//! What the benchmarks share: a federation of real processes in a folder, and medians.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use spe_kernel::{
    dataset::DatasetSchema,
    dsse::SecretKey,
    job::{JOB_FORMAT, JobBody, Purpose},
    plan::Plan,
};
use spe_wire::{Connection, HubClient, Submission};
use tempfile::TempDir;

/// Something that went wrong; a benchmark just stops.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// When a federation's answers leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// When they are ready, and after any time.
    Slot,
    /// As the policy says that `spe node init` writes: at their deadline.
    Shipped,
}

/// A hub, nodes and a researcher, each process started by the command that its owner would type.
pub struct Federation {
    /// The folder.
    pub dir: TempDir,
    spe: PathBuf,
    running: Vec<Child>,
    access_body: String,
    pace: Pace,
}

impl Drop for Federation {
    fn drop(&mut self) {
        for child in &mut self.running {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Federation {
    /// A running hub, and a permit for `dataset` that costs nobody anything yet.
    ///
    /// # Errors
    /// A command that fails; the binary `spe` must have been built in the same profile.
    pub fn found(dataset: &str, columns: &[&str]) -> Result<Self, Error> {
        let exe = std::env::current_exe()?;
        let spe = exe.ancestors().nth(2).ok_or("no target folder")?.join("spe");
        if !spe.exists() {
            return Err("build the binary first: cargo build --release".into());
        }
        let (dir, pace) = (tempfile::tempdir()?, Pace::Slot);
        let mut all = Self { dir, spe, running: Vec::new(), access_body: String::new(), pace };
        let free = (20_000_u16..32_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let port = free.ok_or("no free port between 20000 and 32000")?;
        all.spe(&["hub", "init", "hub", "--listen", &format!("127.0.0.1:{port}"), "--host", "localhost"])?;
        all.spe(&["hub", "invite", "hub", "--person", "ada", "--out", "researcher"])?;
        let public = |made: Value| made.get("public_key").and_then(Value::as_str).map(str::to_owned).ok_or("no key");
        let ada = public(all.spe(&["key", "new", "researcher/signing.key"])?)?;
        all.access_body = public(all.spe(&["key", "new", "access-body.key"])?)?;
        let columns: Vec<_> = columns.iter().map(|c| format!("\"{c}\"")).collect();
        let permit = format!(
            "format = \"spe.permit/2\"\nnumber = \"bench\"\noriginal = \"bench\"\nstatus = \"granted\"\narticle = 68\n\
             application = \"bench\"\nissuer = \"bench\"\nissued_at = \"2026-01-01T00:00:00Z\"\napplicant = \"bench\"\n\
             applicant_body = \"public\"\nvalid_from = \"2026-01-01T00:00:00Z\"\nvalid_until = \"2036-01-01T00:00:00Z\"\n\
             purpose = {{ article53 = [\"b\"], text = \"to measure\" }}\n\
             [environment]\nruntime = \"spe\"\nmodules = \"any\"\nloss_cap = \"rho=1000\"\nrelease = \"automatic\"\n\
             limits = {{ fuel_per_subject_max = 1_000_000_000_000, memory_bytes_max = 1_000_000_000_000 }}\n\
             [[persons]]\nname = \"ada\"\nrole = \"principal-investigator\"\nkey = \"{ada}\"\n\
             [[data]]\ndataset = \"{dataset}\"\ncategory = \"a\"\nformat = \"table\"\npseudonymised = true\ncolumns = [{}]\n",
            columns.join(", ")
        );
        std::fs::write(all.path("permit.toml"), permit)?;
        all.spe(&["permit", "sign", "permit.toml", "--key", "access-body.key", "--out", "permit.json"])?;
        all.start(&["hub", "run", "hub"])?;
        let keys = (port + 1..32_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let keys = keys.ok_or("no free port between 20000 and 32000")?;
        all.spe(&["keyholder", "init", "keyholder", "--listen", &format!("127.0.0.1:{keys}"), "--host", "localhost"])?;
        all.start(&["keyholder", "run", "keyholder"])?;
        while TcpStream::connect(("127.0.0.1", keys)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(all)
    }

    /// The examples' dataset at three nodes, two of its six sites each, all connected.
    ///
    /// # Errors
    /// A command that fails.
    pub fn of_three(columns: &[&str]) -> Result<Self, Error> {
        Self::of_three_at(Pace::Slot, columns)
    }

    /// The same at another pace.
    ///
    /// # Errors
    /// A command that fails.
    pub fn of_three_at(pace: Pace, columns: &[&str]) -> Result<Self, Error> {
        let mut federation = Self::found("rand-hie", columns)?;
        federation.pace = pace;
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data").canonicalize()?;
        for (node, sites) in [
            ("north", "site in (\"1\", \"2\")"),
            ("middle", "site in (\"3\", \"4\")"),
            ("south", "site in (\"5\", \"6\")"),
        ] {
            federation.node(node, &data.join("rand-hie.toml"), &data.join("randhie.csv"), Some(sites))?;
        }
        federation.wait(3)?;
        Ok(federation)
    }

    /// The permit once more, under another number.
    ///
    /// # Errors
    /// A command that fails.
    pub fn permit(&self, number: &str) -> Result<Vec<u8>, Error> {
        let text = std::fs::read_to_string(self.path("permit.toml"))?;
        let text = text.replace("number = \"bench\"", &format!("number = \"{number}\""));
        let text = text.replace("original = \"bench\"", &format!("original = \"{number}\""));
        let (draft, signed) = (format!("{number}.toml"), format!("{number}.json"));
        std::fs::write(self.path(&draft), text)?;
        self.spe(&["permit", "sign", &draft, "--key", "access-body.key", "--out", &signed])?;
        Ok(std::fs::read(self.path(&signed))?)
    }

    /// A file of the federation's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a command to its end and reads its JSON.
    ///
    /// # Errors
    /// What it printed.
    pub fn spe(&self, args: &[&str]) -> Result<Value, Error> {
        let done = Command::new(&self.spe).args(args).arg("--json").current_dir(self.dir.path()).output()?;
        if !done.status.success() {
            return Err(format!("spe {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr)).into());
        }
        Ok(serde_json::from_slice(&done.stdout)?)
    }

    fn start(&mut self, args: &[&str]) -> Result<u32, Error> {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log"))?;
        let child = Command::new(&self.spe)
            .args(args)
            .current_dir(self.dir.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let pid = child.id();
        self.running.push(child);
        Ok(pid)
    }

    /// Makes a node, ingests `file` into it, and starts it; returns its process id and how long the ingest took.
    ///
    /// # Errors
    /// A command that fails.
    pub fn node(
        &mut self,
        name: &str,
        declaration: &Path,
        file: &Path,
        rows: Option<&str>,
    ) -> Result<(u32, Duration), Error> {
        let invitation = format!("{name}-invitation");
        self.spe(&["hub", "invite", "hub", "--node", name, "--out", &invitation])?;
        let keys = format!("{name}-keys");
        self.spe(&["keyholder", "invite", "keyholder", "--node", name, "--out", &keys])?;
        let init = ["node", "init", name, "--connection", &invitation, "--keyholder", &keys];
        self.spe(&[&init[..], &["--access-body", &self.access_body, "--unmeasured"]].concat())?;
        self.unhurried(name)?;
        let (declaration, table) = (declaration.display().to_string(), format!("years={}", file.display()));
        let data = ["data", "ingest", name, "--declaration", &declaration, "--table", &table, "--budget", "rho=1000"];
        let filter: Vec<&str> = rows.map(|r| vec!["--where", r]).unwrap_or_default();
        let start = Instant::now();
        self.spe(&[&data[..], &filter].concat())?;
        let ingest = start.elapsed();
        Ok((self.start(&["node", "run", name])?, ingest))
    }

    /// What is measured is the machine: answers leave when they are ready, not at their deadline, and may take any time.
    fn unhurried(&self, node: &str) -> Result<(), Error> {
        if self.pace == Pace::Shipped {
            return Ok(());
        }
        let file = self.path(&format!("{node}/policy.toml"));
        let policy = std::fs::read_to_string(&file)?
            .replace("hold = \"deadline\"", "hold = \"slot\"")
            .replace("slot_ms = 100", "slot_ms = 1")
            .replace("job_seconds_max = 3_600", "job_seconds_max = 100_000_000")
            .replace("fuel_per_subject_max = 100_000_000", "fuel_per_subject_max = 100_000_000_000");
        Ok(std::fs::write(file, policy)?)
    }

    /// Waits until `count` nodes are connected.
    ///
    /// # Errors
    /// They do not come.
    pub fn wait(&self, count: usize) -> Result<(), Error> {
        for _ in 0..400 {
            let nodes = self.spe(&["budget", "--as", "researcher"]).unwrap_or_default();
            let online = nodes
                .as_array()
                .map_or(0, |n| n.iter().filter(|n| n.get("online") == Some(&Value::Bool(true))).count());
            if online == count {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("{count} nodes did not come: {}", std::fs::read_to_string(self.path("log"))?).into())
    }
}

/// A researcher, connected.
pub struct Researcher {
    /// The connection.
    pub hub: HubClient,
    /// The dataset.
    pub schema: DatasetSchema,
    signer: SecretKey,
    permit: Vec<u8>,
}

impl Researcher {
    /// The one of `federation`.
    ///
    /// # Errors
    /// The hub cannot be reached, or knows no dataset.
    pub async fn of(federation: &Federation) -> Result<Self, Error> {
        let hub = HubClient::connect(&Connection::read(&federation.path("researcher/connection.toml"))?).await?;
        let nodes = hub.browse().await?.collect().await?;
        let schema = nodes.first().and_then(|n| n.catalogue.datasets.first()).ok_or("no dataset")?.schema.clone();
        let signer = std::fs::read_to_string(federation.path("researcher/signing.key"))?.parse()?;
        Ok(Self { hub, schema, signer, permit: std::fs::read(federation.path("permit.json"))? })
    }

    /// The job that asks `plan` of all nodes, signed now.
    ///
    /// # Errors
    /// None in practice: names are fixed.
    pub fn job(&self, plan: Plan) -> Result<Submission, Error> {
        self.job_under("bench", self.permit.clone(), plan)
    }

    /// The same under another permit than the federation's first.
    ///
    /// # Errors
    /// A number that is none.
    pub fn job_under(&self, number: &str, permit: Vec<u8>, plan: Plan) -> Result<Submission, Error> {
        let body = JobBody {
            format: JOB_FORMAT.into(),
            permit: number.parse()?,
            person: "ada".parse()?,
            purpose: Purpose::Policymaking,
            nodes: vec![],
            signed_at: jiff::Timestamp::now(),
            plan,
            identity: None,
        };
        Ok(Submission { job: body.sign(&self.signer), permit })
    }
}

/// The most memory that a process ever had, in bytes.
///
/// # Errors
/// The process is gone.
pub fn peak_memory_bytes(pid: u32) -> Result<u64, Error> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// The `share` quantile of `times`.
pub fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((times.len().saturating_sub(1)) as f64 * share).round() as usize;
    times.get(at).copied().unwrap_or_default()
}

/// The visits example, with up to ten rows a person instead of five.
///
/// # Errors
/// The module changed.
pub fn visits_module() -> Result<Vec<u8>, Error> {
    const FROM: &[u8] = b"\"max_rows\": 5";
    const TO: &[u8] = b"\"max_rows\":10";
    let mut wasm = include_bytes!("../../examples/modules/visits-by-coinsurance.wasm").to_vec();
    let at = wasm.windows(FROM.len()).position(|w| w == FROM).ok_or("the module's manifest changed")?;
    wasm.splice(at..at + FROM.len(), TO.iter().copied());
    Ok(wasm)
}
