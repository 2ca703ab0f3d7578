//! A folder with a hub, nodes and a researcher in it, set up by the commands that their owners would type.

use std::{
    cell::OnceCell,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

pub const SPE: &str = env!("CARGO_BIN_EXE_spe");
/// How long anything that happens by itself may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The file of an example's module.
pub fn module(name: &str) -> String {
    example(&format!("examples/modules/{name}.wasm")).display().to_string()
}

pub struct Place {
    pub dir: TempDir,
    running: Vec<(String, Child)>,
    keyholder: OnceCell<KeyHolder>,
    pub access_body: String,
}

/// The declaration of the examples' dataset.
pub const DECLARATION: &str = "examples/data/rand-hie.toml";

/// A port for a hub that starts later: one that the system does not give to anybody's outgoing connection meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 100).unwrap() * 100;
    let mut ports = std::iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

impl Place {
    /// A hub's and a researcher's folders, a signed permit; nothing runs yet.
    pub fn new(loss_cap: &str) -> Self {
        let mut place = Self {
            dir: tempfile::tempdir().unwrap(),
            running: Vec::new(),
            keyholder: OnceCell::new(),
            access_body: String::new(),
        };
        let port = free_port();
        place.ok(&["hub", "init", "hub", "--listen", &format!("127.0.0.1:{port}"), "--host", "localhost"]);
        place.ok(&["hub", "invite", "hub", "--person", "ada", "--out", "researcher"]);
        let ada = place.key("researcher/signing.key");
        place.access_body = place.key("access-body.key");
        place.permit("permit", &ada, loss_cap, "2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn permit(&self, name: &str, ada: &str, loss_cap: &str, from: &str, until: &str) {
        let text = std::fs::read_to_string(example("policies/permits/visits.toml")).unwrap();
        let mut permit: toml::Table = toml::from_str(&text).unwrap();
        permit["environment"]["loss_cap"] = loss_cap.into();
        permit["environment"]["limits"]["fuel_per_subject_max"] = i64::MAX.into();
        permit["valid_from"] = from.into();
        permit["valid_until"] = until.into();
        permit["persons"][0]["key"] = ada.into();
        let columns = ["coins", "mdvis", "year", "female", "xage", "disea", "mhi", "totadm"];
        permit["data"][0]["columns"] = columns.map(|c| toml::Value::from(format!("years.{c}"))).to_vec().into();
        std::fs::write(self.path(&format!("{name}.toml")), toml::to_string(&permit).unwrap()).unwrap();
        self.ok(&[
            "permit",
            "sign",
            &format!("{name}.toml"),
            "--key",
            "access-body.key",
            "--out",
            &format!("{name}.json"),
        ]);
    }

    /// A hub and nodes of those names at work, each over the rows of one site of its own.
    pub fn at_work(nodes: &[&str]) -> Self {
        let mut place = Self::new("rho=1");
        for (site, node) in (1..).zip(nodes) {
            place.node(node, &format!("site = \"{site}\""), "rho=2");
        }
        place.start_all(nodes);
        place
    }

    /// A node of that name over the rows that `sites` selects, whose answers leave as soon as they are there; not started.
    pub fn node(&self, name: &str, sites: &str, budget: &str) {
        self.node_of(name, &example(DECLARATION), sites, budget);
    }

    /// The same, of another declaration of the examples' file.
    pub fn node_of(&self, name: &str, declaration: &Path, sites: &str, budget: &str) {
        self.node_at_default_pace(name, declaration, sites, budget);
        self.policy(name, "hold = \"deadline\"", "hold = \"slot\"");
        self.policy(name, "slot_ms = 100", "slot_ms = 1");
        // Guests that loop are given fuel for hours, and are cancelled.
        self.policy(name, "job_seconds_max = 3_600", "job_seconds_max = 100_000_000");
    }

    /// The same, with the policy that `spe node init` writes: answers wait for their deadline.
    pub fn node_at_default_pace(&self, name: &str, declaration: &Path, sites: &str, budget: &str) {
        let invitation = format!("{name}-invitation");
        // Unless the node has joined by a token.
        if !self.path(&invitation).exists() {
            self.ok(&["hub", "invite", "hub", "--node", name, "--out", &invitation]);
        }
        self.ok(&[
            "node",
            "init",
            name,
            "--connection",
            &invitation,
            "--access-body",
            &self.access_body,
            "--unmeasured",
        ]);
        let table = format!("years={}", example("examples/data/randhie.csv").display());
        let declaration = declaration.display().to_string();
        let data = ["data", "ingest", name, "--declaration", &declaration, "--table", &table];
        self.ok(&[&data[..], &["--where", sites, "--budget", budget]].concat());
    }

    /// Changes a line of a node's policy.
    pub fn policy(&self, node: &str, from: &str, to: &str) {
        let file = self.path(&format!("{node}/policy.toml"));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "the policy has no {from:?}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
    }

    /// The folder with a node's way to the place's key holder, which serves from a thread of the test: with a process of its own is
    /// `keyholder.rs` concerned.
    pub fn keys(&self, node: &str) -> String {
        let (name, keyholder) = (format!("{node}-keys"), self.path("keyholder"));
        self.keyholder.get_or_init(|| KeyHolder::found(&keyholder));
        if !self.path(&name).exists() {
            std::fs::create_dir(self.path(&name)).unwrap();
            let by = spe_kernel::audit::Person { name: "account founder".into(), key: None, identity: None };
            spe_keyholder::invite(&keyholder, &node.parse().unwrap(), &self.path(&name), &by).unwrap();
        }
        name
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(SPE);
        if let ["node", "init", node, ..] = args
            && !args.contains(&"--keyholder")
        {
            command.args(args).args(["--keyholder", &self.keys(node)]);
        } else {
            command.args(args);
        }
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed, and gives its JSON.
    pub fn ok(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "spe {}: {error}", args.join(" "));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("spe {}: {e}: {error}", args.join(" ")))
    }

    /// Runs a command that must fail, and gives its exit code and message.
    pub fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        assert!(!output.status.success(), "spe {} succeeded", args.join(" "));
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn key(&self, file: &str) -> String {
        self.ok(&["key", "new", file])["public_key"].as_str().unwrap().to_owned()
    }

    pub fn start(&mut self, name: &str, args: &[&str]) {
        let log = std::fs::File::options().create(true).append(true).open(self.path(&format!("{name}.log"))).unwrap();
        let child = self.command(args).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.running.push((name.to_owned(), child));
    }

    pub fn start_hub(&mut self) {
        self.start("hub", &["hub", "run", "hub"]);
    }

    /// The hub and those nodes, connected.
    pub fn start_all(&mut self, nodes: &[&str]) {
        self.start_hub();
        for node in nodes {
            self.start_node(node);
        }
        self.wait_online(nodes.len());
    }

    pub fn start_node(&mut self, name: &str) {
        self.start(name, &["node", "run", name]);
    }

    /// What a disk looks like that is full beyond the first kilobytes of any file. No privilege is needed for it.
    fn on_a_full_disk(&self, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\"", SPE]).args(args);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    pub fn fails_on_a_full_disk(&self, args: &[&str]) -> String {
        let output = self.on_a_full_disk(args).output().unwrap();
        assert!(!output.status.success(), "spe {} succeeded on a full disk", args.join(" "));
        String::from_utf8(output.stderr).unwrap()
    }

    pub fn start_node_on_a_full_disk(&mut self, name: &str) {
        let quiet = self.on_a_full_disk(&["node", "run", name]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.running.push((name.to_owned(), quiet.unwrap()));
    }

    /// SIGKILL: no destructor runs, no buffer is flushed.
    pub fn kill(&mut self, name: &str) {
        let at = self.running.iter().position(|(n, _)| n == name).unwrap();
        let (_, mut child) = self.running.remove(at);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and waits until the process has finished what was under way.
    pub fn stop(&mut self, name: &str) {
        let at = self.running.iter().position(|(n, _)| n == name).unwrap();
        let (_, mut child) = self.running.remove(at);
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        child.wait().unwrap();
    }

    pub fn wait_online(&self, count: usize) {
        eventually(&format!("{count} nodes are online"), || {
            let output = self.run(&["budget", "--as", "researcher", "--json"]);
            let nodes: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let online = nodes.as_array().map_or(0, |n| n.iter().filter(|n| n["online"] == true).count());
            online == count
        });
    }

    /// Loss spent at each node, as the hub shows it.
    pub fn spent(&self, node: &str) -> String {
        let nodes = self.ok(&["budget", "--as", "researcher"]);
        let line = nodes.as_array().unwrap().iter().find(|n| n["node"] == node).unwrap().clone();
        line["spent"].as_str().unwrap().to_owned()
    }

    /// Submits the visits module, waits, and gives the view.
    pub fn ask(&self, loss: &str, more: &[&str]) -> Value {
        self.ask_module(&module("visits-by-coinsurance"), loss, more)
    }

    pub fn ask_module(&self, module: &str, loss: &str, more: &[&str]) -> Value {
        let fixed = ["job", "submit", module, "--as", "researcher", "--permit", "permit.json", "--dataset", "rand-hie"];
        self.view(&[&fixed[..], &["--purpose", "policymaking", "--loss", loss], more].concat()).0
    }

    /// Runs a command that shows a job, and gives the view and the exit code: not 0 when every node refused.
    pub fn view(&self, args: &[&str]) -> (Value, i32) {
        let output = self.run(&[args, &["--json"]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        let view: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("spe {}: {e}: {error}", args.join(" ")));
        assert!(view["error"].is_null(), "spe {}: {view}", args.join(" "));
        (view, output.status.code().unwrap())
    }
}

/// A key holder in this process.
struct KeyHolder {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl KeyHolder {
    fn found(dir: &Path) -> Self {
        std::fs::create_dir(dir).unwrap();
        let listen = format!("127.0.0.1:{}", free_port()).parse().unwrap();
        let (config, _) = spe_keyholder::init(dir, &["localhost".into()], listen).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let config = spe_keyholder::Config { dir: dir.to_owned(), ..config };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(spe_keyholder::serve(&config, async { drop(stopped.await) })).unwrap();
        });
        eventually("the key holder listens", || std::net::TcpStream::connect(listen).is_ok());
        Self { stop: Some(stop) }
    }
}

impl Drop for KeyHolder {
    fn drop(&mut self) {
        self.stop.take();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for (name, child) in &mut self.running {
            child.kill().ok();
            child.wait().ok();
            if std::thread::panicking() {
                let log = std::fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default();
                eprintln!("--- {name}\n{log}");
            }
        }
    }
}

pub fn eventually(what: &str, mut test: impl FnMut() -> bool) {
    let start = Instant::now();
    while !test() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The outcome of a node in a view.
pub fn outcome(view: &Value, node: &str) -> Value {
    view["nodes"].as_array().unwrap().iter().find(|n| n["node"] == node).unwrap().clone()
}
