//! The demo's processes and folders.

use std::{
    collections::BTreeMap,
    io::Write,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use spe_wire::view::View;

/// The file that tells a demo's folder, which may be removed, from a real federation's.
const MARK: &str = ".spe-demo";
/// How long a process may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// The demo's folder and the processes that run in it; they end with it.
pub(super) struct Cast {
    dir: PathBuf,
    spe: PathBuf,
    running: Vec<(String, Child)>,
}

impl Cast {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        if dir.join(MARK).is_file() {
            std::fs::remove_dir_all(dir).with_context(|| format!("removing the last demo in {}", dir.display()))?;
        }
        let empty = !dir.exists() || std::fs::read_dir(dir)?.next().is_none();
        ensure!(empty, "{} is not empty; choose another folder with --dir", dir.display());
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        std::fs::write(dir.join(MARK), "made by `spe demo`, which removes it when it starts again\n")?;
        Ok(Self { dir: dir.canonicalize()?, spe: std::env::current_exe()?, running: Vec::new() })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        std::fs::write(self.path(name), bytes).with_context(|| format!("writing {name}"))
    }

    /// Puts `text` at the end of a file.
    pub(super) fn append(&self, name: &str, text: &str) -> Result<()> {
        let file = std::fs::File::options().append(true).open(self.path(name));
        file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| format!("writing {name}"))
    }

    /// A heading.
    pub(super) fn say(&self, text: &str) {
        self.print(&format!("\n■ {text}\n"));
    }

    pub(super) fn print(&self, text: &str) {
        std::io::stdout().lock().write_all(text.as_bytes()).ok();
    }

    fn command(&self, args: &[impl AsRef<str>]) -> Command {
        let mut command = Command::new(&self.spe);
        command.args(args.iter().map(AsRef::as_ref)).current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    /// What a person would type, quoted where a shell needs it.
    fn show(&self, args: &[impl AsRef<str>]) {
        let quote = |arg: &str| if arg.contains([' ', '"']) { format!("'{arg}'") } else { arg.to_owned() };
        let typed: Vec<_> = args.iter().map(|a| quote(a.as_ref())).collect();
        self.print(&format!("  $ spe {}\n", typed.join(" ")));
    }

    /// Runs a command to its end, showing it and what it says.
    pub(super) fn run(&self, args: &[impl AsRef<str>]) -> Result<()> {
        self.show(args);
        let done = self.command(args).output()?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr).trim());
        for line in String::from_utf8_lossy(&done.stdout).lines() {
            self.print(&format!("    {line}\n"));
        }
        Ok(())
    }

    /// Runs a command with `--json` and reads what it says.
    fn json(&self, args: &[impl AsRef<str>]) -> Result<Value> {
        let args: Vec<&str> = args.iter().map(AsRef::as_ref).chain(["--json"]).collect();
        let done = self.command(&args).output()?;
        let read = serde_json::from_slice(&done.stdout);
        read.with_context(|| format!("spe {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim()))
    }

    /// Makes a key and gives its public half.
    pub(super) fn key(&self, file: &str) -> Result<String> {
        self.show(&["key", "new", file]);
        let made = self.json(&["key", "new", file])?;
        Ok(made.get("public_key").and_then(Value::as_str).context("no public key")?.to_owned())
    }

    /// Submits a job, with its progress on the terminal, and waits for its result.
    pub(super) fn submit(&self, args: &[String]) -> Result<View> {
        self.show(args);
        let args: Vec<&str> = args.iter().map(String::as_str).chain(["--json"]).collect();
        let done = self.command(&args).stderr(Stdio::inherit()).output()?;
        serde_json::from_slice(&done.stdout).context("the job gave no result; see above")
    }

    /// Starts a process that stays; its log goes to a file.
    pub(super) fn start(&mut self, name: &str, args: &[&str]) -> Result<()> {
        self.show(args);
        let log = std::fs::File::create(self.path(&format!("{name}.log")))?;
        let child = self.command(args).stdout(log.try_clone()?).stderr(log).spawn()?;
        self.running.push((name.to_owned(), child));
        Ok(())
    }

    /// The first that is free from `first` on.
    pub(super) fn free_port(&self, first: u16) -> Result<u16> {
        // Below the ports that the system gives to outgoing connections, one of which could take it before the hub does.
        let free = (first..32_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        free.context("no free port between 20000 and 32000")
    }

    /// Waits until somebody listens there.
    pub(super) fn wait_listening(&self, port: u16) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(
                start.elapsed() < PATIENCE,
                "nobody listens at port {port}; see the logs in {}",
                self.dir.display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until that many nodes are connected.
    pub(super) fn wait_online(&self, count: usize) -> Result<()> {
        let start = Instant::now();
        loop {
            let nodes = self.json(&["budget", "--as", "researcher"]);
            let online = nodes
                .as_ref()
                .ok()
                .and_then(Value::as_array)
                .map_or(0, |list| list.iter().filter(|n| n.get("online") == Some(&Value::Bool(true))).count());
            if online >= count {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!("only {online} of {count} nodes came up; see the logs in {}", self.dir.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What each node has spent.
    pub(super) fn spent(&self) -> Result<BTreeMap<String, String>> {
        let nodes = self.json(&["budget", "--as", "researcher"])?;
        let text = |n: &Value, field: &str| n.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(nodes.as_array().context("no list of nodes")?.iter().map(|n| (text(n, "node"), text(n, "spent"))).collect())
    }

    pub(super) fn stay(&self) -> Result<()> {
        self.print(&format!("Hub and nodes run on in {}. Press Enter to end.\n", self.dir.display()));
        std::io::stdin().read_line(&mut String::new())?;
        Ok(())
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
