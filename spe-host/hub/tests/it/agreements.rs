//! Participation agreements between the hub and its nodes.

use spe_hub::{Config, Kept, Record, agree, agreement};
use spe_kernel::{
    agreement::{Act, AgreementBody, Move, Party, Standing},
    audit::Person,
    document::{Document, open, sign},
    federation::Outcome,
    ids::Digest,
    refusal::Refusal,
};
use spe_wire::{HubClient, encode, governance::Period, tls::fingerprint, view::View};

use crate::{
    answers::Claim,
    federation::{Federation, Node, job_of, plan, secret},
};

/// Whoever types the hub's commands.
pub(crate) fn operator() -> Person {
    Person { name: "account kim".into(), key: None, identity: None }
}

/// The agreement, as the hub's operator sees it.
fn kept(federation: &Federation, node: &Node) -> Kept {
    agreement(federation.dir.path(), &node.name).unwrap()
}

/// The node's signature under everything that waits for it.
fn seconds(kept: &Kept, node: &Node) -> Vec<Vec<u8>> {
    let waits = kept.agreement.uncountersigned(Party::Node);
    let number = kept.agreement.next_number(Party::Node);
    (number..).zip(waits).map(|(number, statement)| node.states(number, Act::Countersign { statement })).collect()
}

fn refused_by<'a>(view: &'a View, node: &Node) -> &'a Refusal {
    let line = view.nodes.iter().find(|line| line.node == node.name).unwrap();
    let Outcome::Refused { why, .. } = &line.outcome else { panic!("{:?}", line.outcome) };
    why
}

/// Of what both have stated, what the hub has.
pub(crate) fn hubs(mut stated: Vec<Vec<u8>>, node: &Node) -> Vec<Vec<u8>> {
    stated.retain(|one| open::<AgreementBody>(one).unwrap().signer() != node.key.public());
    stated
}

/// What would be a bug: a job that goes to a node which has agreed on nothing, or a result that does not say so.
#[tokio::test]
async fn no_job_goes_to_a_node_before_both_have_signed() {
    let federation = Federation::found().await;
    let (anna, north, guest) =
        (federation.person("anna").await, federation.node("north").await, federation.guest("guest").await);
    let mut work = north.attend().await;
    guest.hub.offer(guest.offer()).await.unwrap();
    let job = anna.ask(0).await.unwrap();
    assert_eq!(job_of(&mut work).await, job);
    north.hub.report(&job, encode(&Claim::honest(&north, &plan(0), 40).release())).await.unwrap();
    let view = anna.hub.view(&job).await.unwrap();
    assert_eq!(view.coverage, "1 of 2 nodes");
    assert!(matches!(refused_by(&view, &guest), Refusal::AgreementNotLive { .. }), "{view:?}");
    let offer = open::<AgreementBody>(&guest.hub.agree(Vec::new()).await.unwrap()[0]).unwrap().digest();
    guest.hub.agree(vec![guest.states(1, Act::Accept { offer })]).await.unwrap();
    let mut work = guest.attend().await;
    let job = anna.ask(1).await.unwrap();
    assert_eq!(job_of(&mut work).await, job, "both have signed, and no job comes");
}

/// What would be a bug: a party that cannot leave alone and at once; another node that must stop with it.
#[tokio::test]
async fn either_party_ends_it_at_once_and_the_others_go_on() {
    let federation = Federation::found().await;
    let anna = federation.person("anna").await;
    let (north, south, west) =
        (federation.node("north").await, federation.node("south").await, federation.node("west").await);
    let mut at_north = north.attend().await;
    south.hub.offer(south.offer()).await.unwrap();
    west.hub.offer(west.offer()).await.unwrap();
    let waiting = anna.ask(0).await.unwrap();
    assert_eq!(job_of(&mut at_north).await, waiting);

    let offer = open::<AgreementBody>(&south.hub.agree(Vec::new()).await.unwrap()[0]).unwrap().digest();
    let leaving = south.states(2, Act::Terminate { offer, reason: "we leave".into() });
    south.hub.agree(vec![leaving]).await.unwrap();
    let ended = Move::Terminate("they did not keep to it".into());
    let standing = agree(federation.dir.path(), &west.name, ended, &operator()).unwrap();
    assert!(matches!(standing, Standing::Terminated { .. }), "{standing:?}");
    let view = anna.hub.view(&waiting).await.unwrap();
    for (node, reason) in [(&south, "we leave"), (&west, "did not keep")] {
        let why = refused_by(&view, node).to_string();
        assert!(why.contains("ended it at"), "the job waits for a node that left: {why}");
        assert!(!why.contains(reason), "researchers read the parties' own words: {why}");
    }
    let job = anna.ask(1).await.unwrap();
    assert_eq!(job_of(&mut at_north).await, job, "the others stopped too");
    let view = anna.hub.view(&job).await.unwrap();
    assert!(matches!(refused_by(&view, &south), Refusal::AgreementNotLive { .. }));
}

/// What would be a bug: a suspension that loses jobs, or does not hold them.
#[tokio::test]
async fn a_suspension_ends_with_the_party_that_made_it() {
    let federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    north.hub.offer(north.offer()).await.unwrap();
    let job = anna.ask(0).await.unwrap();
    agree(federation.dir.path(), &north.name, Move::Suspend("an audit".into()), &operator()).unwrap();
    let mut work = north.attend().await;
    // Also one that is asked while it is suspended.
    let asked = anna.ask(1).await.unwrap();
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), work.next()).await;
    assert!(early.is_err(), "a job went to a node that is suspended");
    let stated = north.hub.agree(Vec::new()).await.unwrap();
    assert_eq!(hubs(stated, &north).len(), 2, "the node is not told");
    agree(federation.dir.path(), &north.name, Move::Resume, &operator()).unwrap();
    north.hub.agree(Vec::new()).await.unwrap();
    for waiting in [job, asked] {
        assert_eq!(job_of(&mut work).await, waiting, "a job was lost with the suspension");
    }

    // For a while, and not for ever.
    agree(federation.dir.path(), &north.name, Move::Suspend("an audit".into()), &operator()).unwrap();
    let job = anna.ask(2).await.unwrap();
    (federation.set_time)(jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 8));
    north.hub.agree(Vec::new()).await.unwrap();
    let view = anna.hub.view(&job).await.unwrap();
    assert!(refused_by(&view, &north).to_string().contains("suspended it"), "it waits for ever: {view:?}");
}

/// What would be a bug: a node that has lost its folder, and does not hear from the hub that it has suspended its participation itself.
#[tokio::test]
async fn a_node_that_has_lost_what_it_stated_has_it_again() {
    let federation = Federation::found().await;
    let north = federation.node("north").await;
    let offer = open::<AgreementBody>(&north.hub.agree(Vec::new()).await.unwrap()[0]).unwrap().digest();
    let suspension = north.states(7, Act::Suspend { offer, reason: "repairs".into() });
    north.hub.agree(vec![suspension.clone()]).await.unwrap();
    let heard = north.hub.agree(Vec::new()).await.unwrap();
    assert!(heard.contains(&suspension), "what the node has stated is the hub's alone");
    let kept = kept(&federation, &north).agreement.statements().len();
    assert_eq!(heard.len(), kept, "not all that both have stated");
}

/// What would be a bug: a node that states something for another, or with another key than the one that is pinned.
#[tokio::test]
async fn a_node_states_for_itself_alone() {
    let federation = Federation::found().await;
    let (north, south) = (federation.node("north").await, federation.node("south").await);
    let offer = open::<AgreementBody>(&south.hub.agree(Vec::new()).await.unwrap()[0]).unwrap().digest();
    let mischief = south.states(9, Act::Terminate { offer, reason: "mischief".into() });
    assert!(north.hub.agree(vec![mischief]).await.is_err(), "north ended south's agreement");
    let body = AgreementBody {
        format: AgreementBody::FORMAT.into(),
        node: north.name.clone(),
        number: 9,
        signed_at: jiff::Timestamp::UNIX_EPOCH,
        act: Act::Terminate { offer: Digest::of(b"any"), reason: "mischief".into() },
    };
    let forged = north.hub.agree(vec![sign(&body, &secret("mallory"))]).await;
    assert!(matches!(forged, Err(Refusal::UntrustedKey { .. })), "another key counted: {forged:?}");
}

/// What would be a bug: a change that has one signature in the end, or the same one twice; one that a hub forgets which died after it was
/// stated, and before the node was told.
#[tokio::test]
async fn every_change_is_countersigned_once_also_by_a_hub_that_was_away() {
    let mut federation = Federation::found().await;
    let north = federation.node("north").await;
    let offer = open::<AgreementBody>(&north.hub.agree(Vec::new()).await.unwrap()[0]).unwrap().digest();
    let mine =
        [north.states(2, Act::Suspend { offer, reason: "repairs".into() }), north.states(3, Act::Resume { offer })];
    for statement in &mine {
        let digest = open::<AgreementBody>(statement).unwrap().digest();
        for _ in 0..2 {
            let stated = north.hub.agree(vec![statement.clone()]).await.unwrap();
            let last = open::<AgreementBody>(hubs(stated, &north).last().unwrap()).unwrap();
            assert_eq!(last.body().act, Act::Countersign { statement: digest }, "the hub does not countersign at once");
        }
    }
    for step in [Move::Suspend("an audit".into()), Move::Resume, Move::Terminate("it is over".into())] {
        agree(federation.dir.path(), &north.name, step, &operator()).unwrap();
        federation.stop().await;
        federation.start(|_| {}).await;
        let waiting = kept(&federation, &north);
        let last = *waiting.agreement.changes().last().unwrap();
        assert!(last.second.is_none(), "it was countersigned before the node knew of it");
        let told = north.hub.agree(Vec::new()).await.unwrap();
        let told: Vec<_> = told.iter().map(|one| open::<AgreementBody>(one).unwrap().digest()).collect();
        assert!(told.contains(&last.statement.digest()), "what was stated is lost with the hub's death");
        let seconds = seconds(&waiting, &north);
        assert_eq!(seconds.len(), 1);
        for _ in 0..2 {
            north.hub.agree(seconds.clone()).await.unwrap();
        }
    }
    let Kept { agreement, .. } = kept(&federation, &north);
    assert_eq!(agreement.changes().len(), 6, "an offer, and five changes");
    for change in agreement.changes() {
        let second = change.second.unwrap_or_else(|| panic!("one signature: {:?}", change.statement.body()));
        assert_ne!(second.signer(), change.statement.signer());
    }
    let db = rusqlite::Connection::open(federation.dir.path().join("hub.sqlite")).unwrap();
    let rows = "SELECT COUNT(*) FROM governance WHERE what = 'agreement' AND subject = 'agreement north'";
    assert_eq!(db.query_row(rows, [], |row| row.get::<_, i64>(0)).unwrap(), 12, "an entry is there twice, or not");
}

/// What would be a bug: a hub that goes on as if it had stated nothing, since its store was put back from an old copy, though the node has
/// its statements; one that takes another's statement for its own, or gives a number of its own to two.
#[tokio::test]
async fn a_hub_whose_store_was_put_back_takes_its_own_statements_from_the_node() {
    let mut federation = Federation::found().await;
    let (north, south) = (federation.node("north").await, federation.node("south").await);
    let store = federation.dir.path().join("hub.sqlite");
    federation.stop().await;
    let copy = std::fs::read(&store).unwrap();
    federation.start(|_| {}).await;
    let suspends = || Move::Suspend("an audit".into());
    agree(federation.dir.path(), &north.name, suspends(), &operator()).unwrap();
    agree(federation.dir.path(), &south.name, suspends(), &operator()).unwrap();
    let mut all = seconds(&kept(&federation, &north), &north);
    north.hub.agree(all.clone()).await.unwrap();
    all.extend(north.hub.agree(Vec::new()).await.unwrap());
    let souths = south.hub.agree(Vec::new()).await.unwrap();
    let told = |kept: &Kept| kept.agreement.statements().into_iter().map(|one| one.digest()).collect::<Vec<_>>();
    let before = told(&kept(&federation, &north));
    federation.stop().await;
    std::fs::write(&store, copy).unwrap();
    for beside in ["hub.sqlite-wal", "hub.sqlite-shm"] {
        std::fs::remove_file(federation.dir.path().join(beside)).ok();
    }
    federation.start(|_| {}).await;
    assert_ne!(told(&kept(&federation, &north)), before, "nothing was lost");
    assert!(north.hub.agree(souths).await.is_err(), "what it stated to south counts for north");
    north.hub.agree(all).await.unwrap();
    let after = kept(&federation, &north);
    assert_eq!(told(&after), before, "it has not all again");
    assert!(matches!(after.agreement.standing(jiff::Timestamp::now()), Standing::Suspended { .. }));
    assert_eq!(after.agreement.next_number(Party::Hub), 3, "a number would be given twice");
}

/// What would be a bug: a signature under a change that its party did not make, or a false one that keeps what is true out.
#[tokio::test]
async fn a_false_countersignature_counts_for_nothing() {
    let federation = Federation::found().await;
    let (north, south) = (federation.node("north").await, federation.node("south").await);
    let offer = open::<AgreementBody>(&north.hub.agree(Vec::new()).await.unwrap()[0]).unwrap().digest();
    let standing = agree(federation.dir.path(), &north.name, Move::Suspend("an audit".into()), &operator()).unwrap();
    let before = kept(&federation, &north);
    let size = before.agreement.statements().len();
    let [statement] = before.agreement.uncountersigned(Party::Node)[..] else {
        panic!("one waits for the node's signature")
    };
    // Signed by a stranger, or by another node.
    let body = open::<AgreementBody>(&north.states(9, Act::Countersign { statement })).unwrap().body().clone();
    let forged = north.hub.agree(vec![sign(&body, &secret("mallory"))]).await;
    assert!(matches!(forged, Err(Refusal::UntrustedKey { .. })), "a stranger signed for the node: {forged:?}");
    assert!(north.hub.agree(vec![sign(&body, &south.key)]).await.is_err(), "another node signed for it");
    assert!(
        south.hub.agree(vec![north.states(9, Act::Countersign { statement })]).await.is_err(),
        "it came by another"
    );
    // Under what nobody stated, under what is not countersigned, and under its own: left out, and what comes with them is taken.
    let resume = north.states(5, Act::Resume { offer });
    let own = open::<AgreementBody>(&resume).unwrap().digest();
    let mut sent: Vec<_> =
        [Digest::of(b"nothing"), offer, own].map(|statement| north.states(6, Act::Countersign { statement })).into();
    sent.push(resume);
    let stated = north.hub.agree(sent).await.unwrap();
    let after = kept(&federation, &north);
    assert_eq!(
        after.agreement.statements().len(),
        size + 2,
        "more was kept than the resumption and the hub's signature"
    );
    assert_eq!(hubs(stated, &north).len(), 3, "an offer, a suspension and a countersignature are the hub's");
    assert_eq!(after.agreement.uncountersigned(Party::Node), [statement], "a false one counts");
    assert_eq!(after.agreement.standing(jiff::Timestamp::now()), standing, "a countersignature changed how it stands");
    north.hub.agree(vec![north.states(9, Act::Countersign { statement })]).await.unwrap();
    assert!(kept(&federation, &north).agreement.changes().iter().all(|change| change.second.is_some()));
}

/// What would be a bug: an act at the hub of which nobody knows whose it was, or a person's name that members or the public are given.
#[tokio::test]
async fn who_operates_the_hub_is_in_its_log_and_in_nothing_that_leaves() {
    let federation = Federation::found().await;
    let (north, dir) = (federation.node("north").await, federation.dir.path());
    agree(dir, &north.name, Move::Suspend("an audit".into()), &operator()).unwrap();
    let recorded_at = jiff::Timestamp::now();
    let record = Record { point: "i".parse().unwrap(), of: "accuracy".into(), count: 3, at: recorded_at, recorded_at };
    spe_hub::record(dir, &record, &operator()).unwrap();

    let Kept { agreement, accounts, .. } = kept(&federation, &north);
    for change in agreement.changes() {
        let account = accounts.get(&change.statement.digest()).map(String::as_str);
        let by_hand = matches!(change.statement.body().act, Act::Suspend { .. });
        assert_eq!(account, by_hand.then_some("account kim"), "{:?}", change.statement.body());
    }
    let db = rusqlite::Connection::open(dir.join("hub.sqlite")).unwrap();
    let named = "SELECT COUNT(*) FROM governance WHERE account = 'account kim'";
    assert_eq!(
        db.query_row(named, [], |row| row.get::<_, i64>(0)).unwrap(),
        2,
        "an act of the operator's has no person"
    );
    assert!(db.execute("UPDATE governance SET account = 'account eve'", []).is_err(), "it can be put on somebody else");

    let ca = fingerprint(&dir.join("authority/ca.pem")).unwrap();
    let stranger = HubClient::stranger(&Config::read(dir).unwrap().public, ca).await.unwrap();
    let mut given = serde_json::to_string(&stranger.register().await.unwrap()).unwrap();
    given += &serde_json::to_string(&stranger.activity(Period::default()).await.unwrap()).unwrap();
    for envelope in north.hub.agree(Vec::new()).await.unwrap() {
        given += &serde_json::to_string(open::<AgreementBody>(&envelope).unwrap().body()).unwrap();
    }
    assert!(given.contains("accuracy") && given.contains("an audit"), "{given}");
    assert!(!given.contains("kim"), "who operates the hub is told: {given}");
}
