//! A federation on one machine: a hub that can be restarted, persons, and nodes.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use spe_hub::{Calendar, Clock, Config, Hub, Operator, Winder, init, invite};
use spe_kernel::{
    agreement::{Act, AgreementBody},
    audit,
    dataset::{ColumnSchema, ColumnType, DatasetSchema, Offer, TableSchema},
    disclosure::Catalogue,
    document::{Document, open, sign},
    dsse::SecretKey,
    ids::{Digest, JobId, NodeName},
    job::{JOB_FORMAT, JobBody, Purpose},
    manifest::Manifest,
    permit::{PermitBody, PermitPerson},
    plan::{Choices, Plan},
    purpose::Article53,
    refusal::Refusal,
};
use spe_wire::{Assignment, Connection, Frame, HubClient, Incoming, Submission, encode, listen, pki::Role, view::View};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

/// When everything begins.
pub(crate) const TODAY: &str = "2026-03-02T09:00:00Z";
pub(crate) const MODULE: &[u8] = b"\0asm pretends";
/// Longer than anything that is expected takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it never happened")
}

/// Whoever invites and dismisses members.
pub(crate) fn founder() -> Operator {
    let account = audit::Person { name: "account founder".into(), key: None, identity: None };
    Operator { account, at: TODAY.parse().unwrap() }
}

pub(crate) struct Federation {
    pub(crate) dir: tempfile::TempDir,
    /// Makes the hub's patience go on, which stands still otherwise.
    pub(crate) winder: Winder,
    clock: Clock,
    /// What time it is for periods of weeks and months, and what sets it.
    calendar: Calendar,
    pub(crate) set_time: Box<dyn Fn(Timestamp) + Send + Sync>,
    address: SocketAddr,
    running: Option<(oneshot::Sender<()>, JoinHandle<std::io::Result<()>>)>,
}

/// A port to which a hub can come back: one that the system does not give to anybody's outgoing connection meanwhile.
async fn port_of_its_own() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 100).unwrap() * 100;
    loop {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if let Ok(listener) = listen(SocketAddr::from(([127, 0, 0, 1], port))).await {
            return listener;
        }
    }
}

impl Federation {
    pub(crate) async fn found() -> Self {
        Self::found_with(|_| {}).await
    }

    pub(crate) async fn found_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = port_of_its_own().await;
        let address = listener.local_addr().unwrap();
        init(dir.path(), &["127.0.0.1".into()], address).unwrap();
        let (winder, clock) = Winder::new();
        let (calendar, set_time) = Calendar::by_hand(TODAY.parse().unwrap());
        let set_time = Box::new(set_time);
        let mut federation = Self { dir, winder, clock, calendar, set_time, address, running: None };
        federation.serve(listener, change);
        federation
    }

    /// The next hub that starts knows of no time that was shown, and its clock is set back to the beginning.
    pub(crate) fn set_back(&mut self) {
        let (calendar, set_time) = Calendar::by_hand(TODAY.parse().unwrap());
        (self.calendar, self.set_time) = (calendar, Box::new(set_time));
    }

    /// Starts the hub again where it was.
    pub(crate) async fn start(&mut self, change: impl FnOnce(&mut Config)) {
        self.serve(listen(self.address).await.unwrap(), change);
    }

    fn serve(&mut self, listener: TcpListener, change: impl FnOnce(&mut Config)) {
        let mut config = Config::read(self.dir.path()).unwrap();
        change(&mut config);
        let (stop, stopped) = oneshot::channel::<()>();
        let hub = Hub::open(config).unwrap().with_clock(self.clock.clone());
        let hub = hub.with_calendar(self.calendar.clone());
        let serving = tokio::spawn(hub.serve(listener, async { drop(stopped.await) }));
        self.running = Some((stop, serving));
    }

    pub(crate) async fn stop(&mut self) {
        let (stop, serving) = self.running.take().unwrap();
        drop(stop);
        soon(serving).await.unwrap().unwrap();
    }

    pub(crate) fn invite(&self, role: &str) -> PathBuf {
        invite(self.dir.path(), &role.parse().unwrap(), None, &founder()).unwrap()
    }

    pub(crate) async fn person(&self, name: &str) -> Person {
        let bundle = self.invite(&format!("person {name}"));
        Person { name: name.into(), hub: client(&bundle).await, key: secret(name) }
    }

    /// A node that has joined: what the hub offered first, it has accepted.
    pub(crate) async fn node(&self, name: &str) -> Node {
        let node = self.guest(name).await;
        node.join().await;
        node
    }

    /// A node that is listed, and has agreed on nothing.
    pub(crate) async fn guest(&self, name: &str) -> Node {
        let bundle = self.invite(&format!("node {name}"));
        Node { name: name.parse().unwrap(), hub: client(&bundle).await, key: secret(name), bundle }
    }
}

pub(crate) async fn client(bundle: &std::path::Path) -> HubClient {
    HubClient::connect(&Connection::read(&bundle.join("connection.toml")).unwrap()).await.unwrap()
}

/// Everybody's key follows from the name, so that tests can lie with each other's.
pub(crate) fn secret(name: &str) -> SecretKey {
    SecretKey::from_seed(Digest::of(name.as_bytes()).as_bytes())
}

pub(crate) fn schema() -> DatasetSchema {
    let age = ColumnSchema {
        name: "age".parse().unwrap(),
        kind: ColumnType::Integer { min: 0, max: 120 },
        description: String::new(),
    };
    let people =
        TableSchema { name: "people".parse().unwrap(), rows_max: None, category: None, time: None, columns: vec![age] };
    DatasetSchema {
        name: "census".parse().unwrap(),
        title: "Census".into(),
        overlap: 1,
        subjects_max: 1_000,
        tables: vec![people],
    }
}

/// A count that costs `rho=0.05`; another `attempt` is another question.
pub(crate) fn plan(attempt: u32) -> Plan {
    plan_with(MODULE, attempt)
}

pub(crate) fn plan_with(module: &[u8], attempt: u32) -> Plan {
    let manifest =
        br#"{"name":"count","version":"1","abi":1,"inputs":[{"table":"people","columns":["age"],"max_rows":1}],
        "outputs":[{"name":"people","kind":"count","unit":"people"}]}"#;
    let choices = Choices { attempt, ..Choices::new("rho=0.05".parse().unwrap()) };
    Plan::new(&Manifest::parse(manifest).unwrap(), Digest::of(module), &schema(), &choices).unwrap()
}

/// A count in so many rounds, whose module hands on one number.
pub(crate) fn plan_in(rounds: u32, attempt: u32) -> Plan {
    let manifest =
        br#"{"name":"fit","version":"1","abi":1,"inputs":[{"table":"people","columns":["age"],"max_rows":1}],
        "rounds":{"default":1,"max":1000,"state":["level"]},"outputs":[{"name":"people","kind":"count","unit":"people"}]}"#;
    let choices = Choices { attempt, rounds: Some(rounds), ..Choices::new("rho=0.05".parse().unwrap()) };
    Plan::new(&Manifest::parse(manifest).unwrap(), Digest::of(MODULE), &schema(), &choices).unwrap()
}

pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) hub: HubClient,
    pub(crate) key: SecretKey,
}

impl Person {
    /// A job over the plan of that attempt, and a permit that the hub shows but does not judge.
    pub(crate) fn submission(&self, attempt: u32, nodes: &[&str]) -> Submission {
        self.submission_of(plan(attempt), nodes)
    }

    pub(crate) fn submission_of(&self, plan: Plan, nodes: &[&str]) -> Submission {
        let (number, now) = ("permit-1", "2026-01-01T00:00:00Z".parse().unwrap());
        let job = JobBody {
            format: JOB_FORMAT.into(),
            permit: number.parse().unwrap(),
            person: self.name.parse().unwrap(),
            purpose: Purpose::PublicHealth,
            nodes: nodes.iter().map(|n| n.parse().unwrap()).collect(),
            signed_at: now,
            plan,
            identity: None,
        };
        let period = (now, "2030-01-01T00:00:00Z".parse().unwrap());
        let mut permit = PermitBody::granted(number.parse().unwrap(), period, "rho=1".parse().unwrap());
        permit.persons = vec![PermitPerson::investigator(self.name.parse().unwrap(), self.key.public())];
        permit.purpose.article53 = vec![Article53(Purpose::PublicHealth)];
        Submission { job: job.sign(&self.key), permit: permit.sign(&secret("access body")) }
    }

    /// Puts the module and asks every node.
    pub(crate) async fn ask(&self, attempt: u32) -> Result<JobId, Refusal> {
        self.hub.put_module(MODULE.to_vec()).await?;
        self.hub.submit(self.submission(attempt, &[])).await
    }

    /// Puts the module and asks every node to run it in rounds.
    pub(crate) async fn ask_in(&self, rounds: u32) -> JobId {
        self.hub.put_module(MODULE.to_vec()).await.unwrap();
        self.hub.submit(self.submission_of(plan_in(rounds, 0), &[])).await.unwrap()
    }

    /// Asks with a module that was put before.
    pub(crate) async fn ask_with(&self, module: &[u8]) -> Result<JobId, Refusal> {
        self.hub.submit(self.submission_of(plan_with(module, 0), &[])).await
    }

    /// Watches the job until `enough`.
    pub(crate) async fn until(&self, job: &JobId, enough: impl Fn(&View) -> bool) -> View {
        let mut views = self.hub.watch(job).await.unwrap();
        loop {
            let view = soon(views.next()).await.unwrap().expect("the stream ended before the view was as expected");
            if enough(&view) {
                return view;
            }
        }
    }
}

pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) hub: HubClient,
    pub(crate) key: SecretKey,
    pub(crate) bundle: PathBuf,
}

impl Node {
    /// Accepts what the hub offers.
    pub(crate) async fn join(&self) {
        let offers = self.hub.agree(Vec::new()).await.unwrap();
        let offer = open::<AgreementBody>(&offers[0]).unwrap().digest();
        self.hub.agree(vec![self.states(1, Act::Accept { offer })]).await.unwrap();
    }

    /// A statement of the node's on its agreement.
    pub(crate) fn states(&self, number: u32, act: Act) -> Vec<u8> {
        let (format, node) = (AgreementBody::FORMAT.into(), self.name.clone());
        sign(&AgreementBody { format, node, number, signed_at: TODAY.parse().unwrap(), act }, &self.key)
    }

    pub(crate) fn catalogue(&self) -> Catalogue {
        let (budget, spent) = ("rho=1".parse().unwrap(), "rho=0".parse().unwrap());
        let offer = Offer { schema: schema(), snapshot: Digest::of(self.name.as_str().as_bytes()), budget, spent };
        let access_bodies = vec![secret(&format!("access body of {}", self.name)).public()];
        Catalogue { node: self.name.clone(), key: self.key.public(), access_bodies, datasets: vec![offer] }
    }

    pub(crate) async fn attend(&self) -> Incoming<Assignment> {
        self.hub.attend(self.offer()).await.unwrap()
    }

    pub(crate) fn offer(&self) -> Frame {
        encode(&self.catalogue())
    }
}

/// The next assignment.
pub(crate) async fn assigned(work: &mut Incoming<Assignment>) -> Assignment {
    soon(work.next()).await.unwrap().expect("the stream of work ended")
}

/// The next assignment, which is the job to run; permits that the node is told of are passed over.
pub(crate) async fn job_of(work: &mut Incoming<Assignment>) -> JobId {
    loop {
        match assigned(work).await {
            Assignment::Permit { .. } => {}
            Assignment::Run { job, .. } => return job,
            Assignment::Round { job, next, .. } => panic!("{job} is in round {}, not to be run", next.round),
            Assignment::Cancel { job } => panic!("{job} is cancelled, not to be run"),
            revoked @ Assignment::Revoke { .. } => panic!("{revoked:?} is no job"),
        }
    }
}

pub(crate) fn role(text: &str) -> Role {
    text.parse().unwrap()
}
