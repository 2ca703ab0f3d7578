//! Row 16: what the network shows of a node, in worlds with the target and without.
//!
//! A hub, a node that attends it, and between them somebody who cannot read but counts (`evil_tap`). TLS hides what is in its records; only
//! lengths, numbers and times are left to tell.
//!
//! What would be a bug: one byte more or less from the node because the target is there, in any job, or when it stops in the middle of
//! a job and starts again; a report that leaves before its slot, or in another slot after the charge than without the target; a record more
//! or less, either way.
//!
//! A busy machine delays a report now and then and gathers what is written into other records, and a node exchanges its agreement with the
//! hub every few seconds, whatever else it does. So both nodes connect at the same time, and each job is asked of both at the same time, again
//! and again until bytes were equal once, and records and slots no more once and no fewer once: what is there because of the target is there
//! every time.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use spe_hub::{Config, Hub, Operator, init, invite};
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
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    evil::{PACE, SPINNING_FUEL, compiler, loss, world},
    evil_ledger::copied,
    evil_tap::{Flow, RECORD_OVERHEAD, Record, Tap, Way, flow, told},
    place::PATIENCE,
};

/// What passed of one job.
#[derive(Debug, Clone, Copy)]
struct Passed {
    to_hub: Flow,
    to_node: Flow,
    /// In slots, from the charge to what the node sent first when it might. None where nothing was charged.
    waited: Option<i64>,
}

impl Passed {
    fn of(records: &[Record]) -> Self {
        Self { to_hub: flow(records, Way::ToHub), to_node: flow(records, Way::ToNode), waited: None }
    }

    fn has_bytes_like(&self, other: &Self, slack: usize) -> bool {
        let far = |a: Flow, b: Flow, slack| a.bytes.abs_diff(b.bytes) > slack;
        !far(self.to_hub, other.to_hub, slack) && !far(self.to_node, other.to_node, slack + HUB_CLOCK_SLACK)
    }
}

type Alike = fn(&Passed, &Passed) -> bool;

/// What must be so in some try. Records and slots vary, so that they must be as many or fewer once, and as many or more once.
const ALIKE: [(&str, Alike); 7] = [
    ("bytes", |a, b| a.has_bytes_like(b, 0)),
    ("no more records to the hub", |a, b| a.to_hub.records <= b.to_hub.records),
    ("no fewer records to the hub", |a, b| a.to_hub.records >= b.to_hub.records),
    ("no more records to the node", |a, b| a.to_node.records <= b.to_node.records),
    ("no fewer records to the node", |a, b| a.to_node.records >= b.to_node.records),
    ("no later slot", |a, b| a.waited <= b.waited),
    ("no earlier slot", |a, b| a.waited >= b.waited),
];

/// The hub's answers have its clock's date among their headers, which takes 23 bytes more when a second has passed.
const HUB_CLOCK_SLACK: usize = 4 * 23;
/// A start has a handshake, whose signatures differ in length from time to time.
const HANDSHAKE_SLACK: usize = 16;
/// The first job's number, of as many digits as the last one's.
const ATTEMPT: u32 = 100;
/// Two nodes spin at once here, beside all other tests.
const UNHURRIED: Pace = Pace { job_ms: 2_000, ..PACE };
/// How often a job is asked anew that a busy machine was late with, or gathered into other records.
const TRIES: usize = 10;

/// A hub, a researcher, and a node that reaches the hub through a tap.
struct Federation {
    ground: Ground,
    tap: Tap,
    mallory: HubClient,
    node: Connection,
    /// None while it is opened anew.
    site: Option<Arc<Site>>,
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
            let account = spe_kernel::audit::Person { name: "account founder".into(), key: None, identity: None };
            let by = Operator { account, at: Timestamp::now() };
            let bundle: PathBuf = invite(&folder, &role.parse().unwrap(), None, &by).unwrap();
            Connection::read(&bundle.join("connection.toml")).unwrap()
        };
        let mallory = HubClient::connect(&connection("person mallory")).await.unwrap();
        let node = Connection { hub: door.to_string(), ..connection("node ground") };
        let site = Some(Arc::new(site));
        let (running, plans) = (None, Vec::new());
        let mut federation = Self { ground, tap, mallory, node, site, running, plans, _stop_hub: stop_hub };
        federation.start().await;
        federation
    }

    async fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (site, connection) = (self.site.clone().unwrap(), self.node.clone());
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

    fn reopen(&mut self) {
        self.site = None;
        let mut site = self.ground.open(compiler()).unwrap();
        site.policy.release = UNHURRIED;
        self.site = Some(Arc::new(site));
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

    /// What passes of a job; none if a busy machine was late with it, and there is nothing to compare.
    async fn asked(&mut self, attack: &Attack) -> Option<Passed> {
        // Idle connections are asked whether they are there.
        self.tap.taken().await;
        let submitted = Timestamp::now();
        let job = self.submit(attack, attack.fuel).await;
        let outcome = self.until(&job, |state, _| state == State::Complete).await;
        if matches!(&outcome, Outcome::Refused { why: Refusal::DeadlineMissed, .. }) {
            return None;
        }
        let answered = matches!(outcome, Outcome::Answered { .. });
        assert_eq!(answered, attack.must != Must::BeRefused, "{}: {outcome:?}", attack.name);
        let records = self.tap.taken().await;
        let passed = Passed::of(&records);
        let (Some([charged, leaves]), plan) = (self.last_charge(), self.plans.last().unwrap()) else {
            return Some(passed);
        };
        let site = self.site.as_ref().unwrap();
        let longest = UNHURRIED.longest(plan, &site.offer(plan.dataset()).unwrap().schema).unwrap();
        let due = |charged| UNHURRIED.leaves(charged, longest, charged);
        assert!(
            (due(submitted)..=due(charged)).contains(&leaves),
            "{}: held until {leaves}, charged at {charged}",
            attack.name
        );
        let slot = |at: Timestamp| at.as_millisecond() / i64::from(UNHURRIED.slot_ms.get());
        let told = told(&records, leaves).unwrap_or_else(|| panic!("{}: it left before {leaves}", attack.name));
        Some(Passed { waited: Some(slot(told) - slot(charged)), ..passed })
    }

    /// When the last job, or the last round of it, was charged, and until when what came of it was held.
    fn last_charge(&self) -> Option<[Timestamp; 2]> {
        let last = "SELECT at, until FROM (SELECT plan, reserved_at AS at, leaves_at_ms AS until FROM charge
            UNION ALL SELECT plan, began_at, leaves_at_ms FROM round) WHERE plan = ?1 ORDER BY until DESC LIMIT 1";
        let db = copied(self.site.as_ref().unwrap(), self.ground.folder());
        let row = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?));
        let last = db.query_row(last, [self.plans.last().unwrap().digest().as_bytes()], row).optional().unwrap();
        last.map(|(at, until)| [at.parse().unwrap(), Timestamp::from_millisecond(until).unwrap()])
    }

    /// A job in whose middle the node stops, between charge and departure, while the guest spins for the target alone; and the start after it.
    async fn stopped(&mut self) -> [Passed; 2] {
        self.tap.taken().await;
        let job = self.submit(Attack::named("spin-if-target").unwrap(), SPINNING_FUEL / 30).await;
        self.until(&job, |_, outcome| matches!(outcome, Outcome::Working { stage: Some(_) })).await;
        self.stop().await;
        let before = Passed::of(&self.tap.taken().await);
        self.reopen();
        self.start().await;
        self.until(&job, |state, _| state == State::Complete).await;
        let after = Passed::of(&self.tap.taken().await);
        [before, after]
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

/// Asks the same in both worlds at once until they were alike in everything, which the first try was in so many ways.
async fn asked_until_alike(with: &mut Federation, without: &mut Federation, attack: &Attack) -> usize {
    let mut tried = Vec::new();
    let mut unlike = ALIKE.to_vec();
    for _ in 0..TRIES {
        let (Some(with), Some(without)) = tokio::join!(with.asked(attack), without.asked(attack)) else { continue };
        unlike.retain(|(_, alike)| !alike(&with, &without));
        tried.push((with, without));
        if unlike.is_empty() {
            let (with, without) = &tried[0];
            return ALIKE.iter().filter(|(_, alike)| alike(with, without)).count();
        }
    }
    let unlike: Vec<_> = unlike.iter().map(|(what, _)| what).collect();
    panic!("{}: {unlike:?} with the target than without, never: {tried:#?}", attack.name)
}

/// The same for nodes that stop in the middle of a job.
async fn stopped_until_alike(with: &mut Federation, without: &mut Federation) -> usize {
    let mut unlike = Vec::new();
    for attempt in 1..=TRIES {
        let ([with, with_again], [without, without_again]) = tokio::join!(with.stopped(), without.stopped());
        if with.has_bytes_like(&without, 0) && with_again.has_bytes_like(&without_again, HANDSHAKE_SLACK) {
            return attempt;
        }
        unlike.push([with, without, with_again, without_again]);
    }
    panic!("stopped and started again, with the target and without: {unlike:#?}")
}

#[test]
fn the_network_sees_no_difference() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let [with, without] = ["with", "without"].map(|name| {
        // Outside of the runtime: a world has one of its own.
        let World { ground, site, .. } = world(dir.path(), name, UNHURRIED);
        (dir.path().join(name), ground, site)
    });
    let found = async |(folder, ground, site): (PathBuf, Ground, Site)| Federation::found(&folder, ground, site).await;
    runtime.block_on(async {
        let (mut with, mut without) = tokio::join!(found(with), found(without));
        // What a module does in rounds may depend on the noise of the first.
        for attack in ALL.iter().filter(|attack| attack.name != "budget") {
            let ways = asked_until_alike(&mut with, &mut without, attack).await;
            println!("{}: the first try alike in {ways} of {} ways", attack.name, ALIKE.len());
        }
        let tries = stopped_until_alike(&mut with, &mut without).await;
        println!("stopped and started again: alike at try {tries}");
    });
}

/// Power. Bugs of the test would be: a byte, a record or a slot that it does not see; an answer that leaves too early, or not at all.
#[test]
fn what_the_network_could_tell_is_seen() {
    let at = |ms| Timestamp::from_millisecond(ms).unwrap();
    let record = |way, bytes, ms| Record { way, bytes, at: at(ms) };
    let said = [record(Way::ToHub, 100, 0), record(Way::ToNode, 60, 2_001), record(Way::ToHub, 600, 2_002)];
    assert_eq!([0, 2_000, 2_003].map(|leaves| told(&said, at(leaves))), [Some(at(0)), Some(at(2_002)), None]);
    let [one, two] = [100, 50].map(|bytes| record(Way::ToHub, bytes + RECORD_OVERHEAD, 0));
    assert_eq!(flow(&[one], Way::ToHub).bytes, flow(&[two, two], Way::ToHub).bytes, "as many, in two records");
    let passed = Passed { waited: Some(41), ..Passed::of(&said) };
    let is_like = |other: &Passed| ALIKE.iter().all(|(_, alike)| alike(&passed, other) && alike(other, &passed));
    assert!(is_like(&passed));
    let more = |flow: Flow, bytes, records| Flow { bytes: flow.bytes + bytes, records: flow.records + records };
    for other in [
        Passed { to_hub: more(passed.to_hub, 1, 0), ..passed },
        Passed { to_node: more(passed.to_node, HUB_CLOCK_SLACK + 1, 0), ..passed },
        Passed { to_hub: more(passed.to_hub, 0, 1), ..passed },
        Passed { to_node: more(passed.to_node, 0, 1), ..passed },
        Passed { waited: Some(42), ..passed },
        Passed { waited: None, ..passed },
    ] {
        assert!(!is_like(&other), "{other:?}");
    }
}
