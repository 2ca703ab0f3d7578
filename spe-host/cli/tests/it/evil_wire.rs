//! Row 16: what the network shows of a node, in worlds with the target and without.
//!
//! A hub, a node that attends it, and between them somebody who cannot read but counts: a proxy that notes direction, length and
//! time of every TLS record. TLS hides what is in them; only lengths, numbers and times are left to tell.
//!
//! What would be a bug: one byte more or less from the node because the target is there, in any job, or when it stops in the middle of
//! a job and starts again. Each world is watched twice: what differs between two sessions of one world tells nothing.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use spe_hub::{Config, Hub, init, invite};
use spe_kernel::{federation::Outcome, pace::Pace, plan::Plan, refusal::Refusal};
use spe_node::{
    attend::attend,
    selftest::{
        attacks::{ALL, Attack, Must},
        ground::Ground,
        world::World,
    },
    site::Site,
};
use spe_wire::{Connection, HubClient, Submission, listen, view::State};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    evil::{PACE, SPINNING_FUEL, compiler, loss, world},
    place::PATIENCE,
};

/// Which way a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToHub,
    ToNode,
}

/// One TLS record, as anybody on the way can tell it.
#[derive(Debug, Clone, Copy)]
struct Record {
    way: Way,
    bytes: usize,
}

/// What TLS 1.3 adds to each record: the header is not counted, the kind is one byte and the tag sixteen.
const RECORD_OVERHEAD: usize = 17;
/// The hub's answers have its clock's date among their headers, which takes 23 bytes more when a second has passed.
const HUB_CLOCK_SLACK: usize = 4 * 23;
const HANDSHAKE_SLACK: usize = 16;
/// The first job's number, of as many digits as the last one's.
const ATTEMPT: u32 = 100;
const STARTED: &str = "started again";
/// A connection that nothing has passed over for so long is done.
const QUIET: Duration = Duration::from_millis(150);

#[derive(Clone, Default)]
struct Tap {
    records: Arc<Mutex<Vec<Record>>>,
}

impl Tap {
    /// Passes everything on to `hub`, and counts.
    async fn listen(self, listener: TcpListener, hub: SocketAddr) {
        while let Ok((node, _)) = listener.accept().await {
            let (node_reads, node_writes) = node.into_split();
            let (hub_reads, hub_writes) = TcpStream::connect(hub).await.unwrap().into_split();
            tokio::spawn(self.clone().pass(node_reads, hub_writes, Way::ToHub));
            tokio::spawn(self.clone().pass(hub_reads, node_writes, Way::ToNode));
        }
    }

    async fn pass(self, mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, way: Way) {
        let mut header = [0; 5];
        while from.read_exact(&mut header).await.is_ok() {
            let bytes = usize::from(u16::from_be_bytes([header[3], header[4]]));
            let mut body = vec![0; bytes];
            if from.read_exact(&mut body).await.is_err() {
                break;
            }
            self.records.lock().unwrap().push(Record { way, bytes });
            if to.write_all(&[&header[..], &body].concat()).await.is_err() {
                break;
            }
        }
        to.shutdown().await.ok();
    }

    /// What passed since the last time, once nothing passes any more: bytes to the hub and to the node, without what TLS adds,
    /// so that it does not matter how writes were gathered into records.
    async fn taken(&self) -> (usize, usize) {
        let mut count = usize::MAX;
        while count != self.records.lock().unwrap().len() {
            count = self.records.lock().unwrap().len();
            sleep(QUIET).await;
        }
        let records = std::mem::take(&mut *self.records.lock().unwrap());
        let bytes =
            |way: Way| records.iter().filter(|r| r.way == way).map(|r| r.bytes - RECORD_OVERHEAD.min(r.bytes)).sum();
        (bytes(Way::ToHub), bytes(Way::ToNode))
    }
}

/// A hub, a researcher, and a node that reaches the hub through a tap.
struct Federation {
    ground: Ground,
    tap: Tap,
    mallory: HubClient,
    node: Connection,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    plans: Vec<Plan>,
    _stop_hub: oneshot::Sender<()>,
}

impl Federation {
    async fn found(dir: &Path, ground: Ground, site: Site) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let (hub_listener, tap_listener) = (listen(any).await.unwrap(), listen(any).await.unwrap());
        let (address, door) = (hub_listener.local_addr().unwrap(), tap_listener.local_addr().unwrap());
        let folder = dir.join("hub");
        std::fs::create_dir_all(&folder).unwrap();
        init(&folder, &["127.0.0.1".into()], address).unwrap();
        let (stop_hub, stopped) = oneshot::channel::<()>();
        let hub = Hub::open(Config::read(&folder).unwrap()).unwrap();
        tokio::spawn(hub.serve(hub_listener, async { drop(stopped.await) }));
        let tap = Tap::default();
        tokio::spawn(tap.clone().listen(tap_listener, address));
        let connection = |role: &str| -> Connection {
            let bundle: PathBuf = invite(&folder, &role.parse().unwrap()).unwrap();
            Connection::read(&bundle.join("connection.toml")).unwrap()
        };
        let mallory = HubClient::connect(&connection("person mallory")).await.unwrap();
        let node = Connection { hub: door.to_string(), ..connection("node ground") };
        let mut federation = Self { ground, tap, mallory, node, running: None, plans: Vec::new(), _stop_hub: stop_hub };
        federation.start(site).await;
        federation
    }

    async fn start(&mut self, site: Site) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (site, connection) = (Arc::new(site), self.node.clone());
        let attending = tokio::spawn(async { attend(site, connection, async { drop(stopped.await) }).await.unwrap() });
        self.running = Some((stop, attending));
        let start = Instant::now();
        loop {
            let nodes = self.mallory.browse().await.unwrap().collect().await.unwrap();
            if nodes.iter().any(|node| node.online) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "the node does not reach its hub");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(&mut self) {
        let (stop, attending) = self.running.take().unwrap();
        drop(stop);
        timeout(PATIENCE, attending).await.unwrap().unwrap();
    }

    fn reopen(&self) -> Site {
        let mut site = self.ground.open(compiler()).unwrap();
        site.policy.release = UNHURRIED;
        site
    }

    /// Hands in a job; its identifier.
    async fn submit(&mut self, attack: &Attack, fuel: u64) -> spe_kernel::ids::JobId {
        self.mallory.put_module(attack.module.to_vec()).await.unwrap();
        let mut choices = attack.choices(loss(), ATTEMPT + u32::try_from(self.plans.len()).unwrap());
        choices.fuel_per_subject = fuel;
        let nodes = self.mallory.browse().await.unwrap().collect().await.unwrap();
        let schema = &nodes[0].catalogue.datasets[0].schema;
        let (submitted, plan) = self.ground.question_over(schema, attack.module, &choices).unwrap();
        self.plans.push(plan);
        self.mallory.submit(Submission { job: submitted.job, permit: submitted.permit }).await.unwrap()
    }

    /// Hands in a job, and gives what becomes of it.
    async fn asked(&mut self, attack: &Attack) -> Outcome {
        let job = self.submit(attack, attack.fuel).await;
        self.until(&job, |state, _| state == State::Complete).await
    }

    /// Waits until `enough`, and gives what became of the job at the node.
    async fn until(&self, job: &spe_kernel::ids::JobId, enough: impl Fn(State, &Outcome) -> bool) -> Outcome {
        let mut views = self.mallory.watch(job).await.unwrap();
        loop {
            let view = timeout(PATIENCE, views.next()).await.expect("it never happened").unwrap().expect("the end");
            if enough(view.state, &view.nodes[0].outcome) {
                return view.nodes[0].outcome.clone();
            }
        }
    }
}

/// Bytes to the hub and to the node for each job, and what became of it.
type Traffic = Vec<(String, (usize, usize))>;

/// Two nodes spin at once here, beside all other tests.
const UNHURRIED: Pace = Pace { job_ms: 2_000, ..PACE };
/// How often a job is asked anew that a busy machine was late with: there would be nothing to compare.
const TRIES: usize = 5;

/// Every attack, one after the other; then a job in whose middle the node stops, and starts again.
async fn traffic(dir: PathBuf, ground: Ground, site: Site) -> Traffic {
    let mut federation = Federation::found(&dir, ground, site).await;
    federation.tap.taken().await;
    let mut traffic = Vec::new();
    // What a module does in rounds may depend on the noise of the first.
    for attack in ALL.iter().filter(|attack| attack.name != "budget") {
        let mut outcome = federation.asked(attack).await;
        for _ in 1..TRIES {
            if !matches!(&outcome, Outcome::Refused { why: Refusal::DeadlineMissed }) {
                break;
            }
            federation.tap.taken().await;
            outcome = federation.asked(attack).await;
        }
        assert_eq!(
            matches!(outcome, Outcome::Answered { .. }),
            attack.must != Must::BeRefused,
            "{}: {outcome:?}",
            attack.name
        );
        traffic.push((attack.name.to_owned(), federation.tap.taken().await));
    }
    // The stop comes between the charge and the departure, while the guest spins for the target alone.
    let spinning = Attack::named("spin-if-target").unwrap();
    let job = federation.submit(spinning, SPINNING_FUEL / 30).await;
    federation.until(&job, |_, outcome| matches!(outcome, Outcome::Working { stage: Some(_) })).await;
    federation.stop().await;
    traffic.push(("stopped in the middle".into(), federation.tap.taken().await));
    let site = federation.reopen();
    federation.start(site).await;
    federation.until(&job, |state, _| state == State::Complete).await;
    traffic.push((STARTED.into(), federation.tap.taken().await));
    federation.stop().await;
    traffic
}

#[test]
fn the_network_sees_no_difference() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let session = |name: &'static str, copy: &str| {
        let World { ground, site, .. } = world(&dir.path().join(copy), name, UNHURRIED);
        runtime.spawn(traffic(dir.path().join(copy), ground, site))
    };
    let two = |with: &str, without: &str| {
        let sessions = [session("with", with), session("without", without)];
        sessions.map(|session| runtime.block_on(session).unwrap())
    };
    let ([with, without], [with_again, without_again]) = (two("a", "b"), two("c", "d"));
    for other in [&without, &with_again, &without_again] {
        for ((job, (to_hub, to_node)), (_, (other_to_hub, other_to_node))) in with.iter().zip(other) {
            // A start has a handshake, whose signatures differ in length from time to time.
            let slack = if job == STARTED { HANDSHAKE_SLACK } else { 0 };
            assert!(to_hub.abs_diff(*other_to_hub) <= slack, "{job}: {to_hub} and {other_to_hub} bytes to the hub");
            let (apart, slack) = (to_node.abs_diff(*other_to_node), HUB_CLOCK_SLACK + slack);
            assert!(apart <= slack, "{job}: {to_node} and {other_to_node} bytes to the node");
        }
    }
}
