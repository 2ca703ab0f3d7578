//! Who may call, and as whom.

use jiff::ToSpan;
use spe_hub::{Operator, dismiss, invite, invite_by_token, operated, roles_of};
use spe_kernel::{dataset::ColumnType, disclosure::Catalogue, federation::Outcome, refusal::Refusal};
use spe_wire::{Connection, HubClient, encode, governance::Period, pki::Authority, tls::fingerprint, view::State};

use crate::{
    agreements::operator,
    federation::{Federation, Node, Person, client, founder, job_of, role, secret, soon},
};

#[tokio::test]
async fn a_certificate_that_is_not_listed_is_refused() {
    let federation = Federation::found().await;
    let bundle = federation.invite("person anna");
    let authority = Authority::load(&federation.dir.path().join("authority")).unwrap();
    let forged = tempfile::tempdir().unwrap();
    authority.issue(&role("person anna"), &[]).unwrap().save(forged.path()).unwrap();
    let mut connection = Connection::read(&bundle.join("connection.toml")).unwrap();
    (connection.cert, connection.key) = (forged.path().join("cert.pem"), forged.path().join("key.pem"));
    let hub = HubClient::connect(&connection).await.unwrap();
    let refused = hub.jobs().await.unwrap_err();
    assert!(matches!(&refused, Refusal::NotAllowed { what, .. } if what.contains("not listed")), "{refused}");
    client(&bundle).await.jobs().await.expect("the listed certificate of the same name is still good");
}

#[tokio::test]
async fn roles_keep_to_their_own() {
    let federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    let refused = |r: Result<(), Refusal>| assert!(matches!(r, Err(Refusal::NotAllowed { .. })), "{r:?}");
    refused(north.hub.put_module(vec![1]).await.map(drop));
    refused(north.hub.jobs().await.map(drop));
    refused(north.hub.submit(anna.submission(0, &[])).await.map(drop));
    refused(anna.hub.attend(north.offer()).await.map(drop));
    refused(anna.hub.offer(north.offer()).await);
    refused(anna.hub.fetch_module(crate::federation::plan(0).module()).await.map(drop));
    refused(anna.hub.report(&"job-0".parse().unwrap(), encode(&Refusal::Cancelled)).await);
}

#[tokio::test]
async fn a_node_has_one_name_and_one_key() {
    let federation = Federation::found().await;
    let (north, south) = (federation.node("north").await, federation.node("south").await);
    let refused = north.hub.attend(south.offer()).await.err().expect("north attended as south");
    assert!(matches!(&refused, Refusal::NotAllowed { what, .. } if what.contains("south")), "{refused}");
    drop(north.attend().await);
    let rekeyed = Catalogue { key: secret("new").public(), ..north.catalogue() };
    let refused = north.hub.offer(encode(&rekeyed)).await.expect_err("a pinned key was changed");
    assert!(matches!(&refused, Refusal::NotAllowed { what, .. } if what.contains("pinned")), "{refused}");
    dismiss(federation.dir.path(), &role("node north"), &founder()).unwrap();
    let again = client(&federation.invite("node north")).await;
    assert!(again.offer(encode(&rekeyed)).await.is_err(), "a new certificate unpinned the key");
    again.offer(north.offer()).await.expect("the old key under a new certificate");
}

/// A catalogue whose census has another age than the others'.
fn disagreeing(node: &Node) -> Catalogue {
    let mut other = node.catalogue();
    other.datasets[0].schema.tables[0].columns[0].kind = ColumnType::Integer { min: 0, max: 99 };
    other
}

/// The names of the datasets that the hub shows of a node.
async fn shown(anna: &Person, node: &Node) -> Vec<String> {
    let all = anna.hub.browse().await.unwrap().collect().await.unwrap();
    let of = all.into_iter().filter(|seen| seen.node == node.name).flat_map(|seen| seen.catalogue.datasets);
    of.map(|offer| offer.schema.name.to_string()).collect()
}

#[tokio::test]
async fn a_dataset_that_disagrees_is_left_out_and_the_rest_counts() {
    let federation = Federation::found().await;
    let anna = federation.person("anna").await;
    let (north, south) = (federation.node("north").await, federation.node("south").await);
    let mut at_north = north.attend().await;
    let mut other = disagreeing(&south);
    other.datasets.push(south.catalogue().datasets[0].clone());
    other.datasets[1].schema.name = "registry".parse().unwrap();
    let at_south = south.hub.attend(encode(&other)).await.expect("one dataset's name locked the whole node out");
    assert_eq!(
        (shown(&anna, &north).await, shown(&anna, &south).await),
        (vec!["census".into()], vec!["registry".into()])
    );
    let job = anna.ask(0).await.unwrap();
    assert_eq!(job_of(&mut at_north).await, job);
    assert_eq!(anna.hub.view(&job).await.unwrap().asked, 1, "south was asked about a census that it means otherwise");
    let named = anna.hub.submit(anna.submission(0, &["south"])).await.unwrap_err();
    assert!(matches!(&named, Refusal::PlanUnfit { why } if why.contains("south")), "{named}");
    drop(at_south);
    let twice =
        Catalogue { datasets: [south.catalogue().datasets, south.catalogue().datasets].concat(), ..south.catalogue() };
    assert!(matches!(south.hub.offer(encode(&twice)).await, Err(Refusal::Malformed { .. })));
}

#[tokio::test]
async fn a_dismissed_node_decides_no_schema() {
    let federation = Federation::found().await;
    let anna = federation.person("anna").await;
    let (squatter, north) = (federation.node("squatter").await, federation.node("north").await);
    drop(squatter.hub.attend(encode(&disagreeing(&squatter))).await.unwrap());
    north.hub.offer(north.offer()).await.unwrap();
    assert!(shown(&anna, &north).await.is_empty(), "two schemas for one dataset");
    dismiss(federation.dir.path(), &role("node squatter"), &founder()).unwrap();
    north.hub.offer(north.offer()).await.unwrap();
    assert_eq!(shown(&anna, &north).await, ["census"], "a name that only a dismissed node used is free");
    let again = client(&federation.invite("node squatter")).await;
    assert!(shown(&anna, &squatter).await.is_empty(), "what was offered before the dismissal came back");
    again.offer(encode(&disagreeing(&squatter))).await.unwrap();
    assert!(shown(&anna, &squatter).await.is_empty(), "a node that came back took the name away");
}

#[tokio::test]
async fn browsing_shows_what_was_offered_last_and_who_is_here() {
    let federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    let work = north.attend().await;
    let mut spent = north.catalogue();
    spent.datasets[0].spent = "rho=0.25".parse().unwrap();
    north.hub.offer(encode(&spent)).await.unwrap();
    let seen = anna.hub.browse().await.unwrap().collect().await.unwrap();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].online && seen[0].catalogue == spent, "{seen:?}");
    drop(work);
    let gone = async {
        while anna.hub.browse().await.unwrap().collect().await.unwrap()[0].online {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    soon(gone).await;
}

#[tokio::test]
async fn a_second_connection_of_a_node_replaces_the_first() {
    let federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    let mut first = north.attend().await;
    let mut second = client(&north.bundle).await.attend(north.offer()).await.unwrap();
    let ended = soon(first.next()).await.expect_err("two connections of one node");
    assert!(matches!(&ended, Refusal::Unavailable { what } if what.contains("took its place")), "{ended}");
    drop(first);
    let job = anna.ask(0).await.unwrap();
    assert_eq!(crate::federation::job_of(&mut second).await, job);
    let view = anna.hub.view(&job).await.unwrap();
    assert!(
        matches!(view.nodes[0].outcome, Outcome::Working { .. }),
        "the first connection's end made the node offline"
    );
}

#[tokio::test]
async fn a_dismissed_node_is_out_and_jobs_stop_waiting_for_it() {
    let federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    let mut work = north.attend().await;
    let job = anna.ask(0).await.unwrap();
    crate::federation::job_of(&mut work).await;
    dismiss(federation.dir.path(), &role("node north"), &founder()).unwrap();
    assert!(matches!(north.hub.report(&job, encode(&Refusal::Cancelled)).await, Err(Refusal::NotAllowed { .. })));
    let view = anna.hub.view(&job).await.unwrap();
    assert_eq!(view.state, State::Complete);
    assert!(view.nodes[0].outcome != Outcome::Offline, "the job waits for a node that will never come");
    assert!(matches!(anna.ask(1).await, Err(Refusal::DatasetUnknown { .. })));
    assert!(dismiss(federation.dir.path(), &role("node north"), &founder()).is_err());
}

#[tokio::test]
async fn an_invitation_is_not_repeated() {
    let federation = Federation::found().await;
    let bundle = federation.invite("person anna");
    let error =
        invite(federation.dir.path(), &role("person anna"), None, &founder()).expect_err("anna was invited twice");
    assert!(error.to_string().contains("dismiss"), "{error}");
    client(&bundle).await.jobs().await.expect("the first invitation must stay good");
    assert!(invite(federation.dir.path(), &role("hub"), None, &founder()).is_err());
    let found_again = spe_hub::init(federation.dir.path(), &["x".into()], "127.0.0.1:1".parse().unwrap());
    assert!(found_again.is_err(), "a federation was overwritten");
}

/// What would be a bug: somebody who was made an assessor, and nobody knows by whom; an act that is written down and was not done, or the other
/// way round; a name that members or the public are given, also where the entry cannot be read.
#[tokio::test]
async fn who_makes_an_assessor_is_in_the_log_and_in_nothing_that_leaves() {
    let mut federation = Federation::found().await;
    let dir = federation.dir.path().to_owned();
    let (_, bob) = (federation.node("north").await, federation.person("bob").await);
    let kim = |hours: i64| Operator { account: operator(), at: founder().at + hours.hours() };
    let roles = |text: &str| [text.parse().unwrap()];
    let (anna, name) = (role("person anna"), "anna".parse().unwrap());
    invite(&dir, &anna, Some(&roles("assessor@north")), &kim(1)).unwrap();
    assert!(invite(&dir, &anna, Some(&roles("auditor")), &kim(2)).is_err(), "invited twice");
    roles_of(&dir, &name, None).unwrap();
    roles_of(&dir, &name, Some((&roles("auditor"), &kim(3)))).unwrap();
    roles_of(&dir, &name, Some((&[], &kim(4)))).unwrap();
    dismiss(&dir, &anna, &kim(5)).unwrap();
    assert!(dismiss(&dir, &anna, &kim(6)).is_err(), "dismissed twice");
    invite_by_token(&dir, &role("person eve"), None, kim(9).at, &kim(7)).unwrap();
    // Again, the very same: another act.
    dismiss(&dir, &role("person eve"), &kim(8)).unwrap();
    invite_by_token(&dir, &role("person eve"), None, kim(9).at, &kim(9)).unwrap();
    let acts = |account: &str| -> Vec<_> {
        operated(&dir).unwrap().into_iter().filter(|act| act.account == account).collect()
    };
    let did: Vec<_> = acts("account kim").into_iter().map(|act| act.did).collect();
    let expected = [
        "person anna invited with a folder: assessor@north",
        "person anna given roles: auditor",
        "person anna given roles: no role",
        "person anna dismissed",
        "person eve invited with a token: applicant, data-user",
        "person eve dismissed",
        "person eve invited with a token: applicant, data-user",
    ];
    assert_eq!(did, expected);
    assert_eq!(acts("account kim")[1].at, Some(kim(3).at));
    assert_eq!(acts("account founder").len(), 2, "north and bob");

    // Neither is done without the other.
    let db = rusqlite::Connection::open(dir.join("hub.sqlite")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON governance BEGIN SELECT RAISE(ABORT, 'no place is left'); END";
    db.execute_batch(full).unwrap();
    let mallory = role("person mallory");
    assert!(invite(&dir, &mallory, None, &kim(10)).is_err());
    assert!(invite_by_token(&dir, &mallory, None, kim(20).at, &kim(10)).is_err());
    assert!(roles_of(&dir, &"bob".parse().unwrap(), Some((&roles("auditor"), &kim(10)))).is_err());
    assert!(dismiss(&dir, &role("person bob"), &kim(10)).is_err());
    db.execute_batch("DROP TRIGGER full").unwrap();
    assert!(dismiss(&dir, &mallory, &kim(10)).is_err(), "a member of whom the log knows nothing");
    assert_eq!(roles_of(&dir, &"bob".parse().unwrap(), None).unwrap().len(), 2, "roles of which the log knows nothing");
    bob.hub.jobs().await.expect("dismissed, and the log knows nothing of it");

    // A store of the version before, and an entry that cannot be read.
    federation.stop().await;
    let damage = "DROP TRIGGER governance_is_not_changed; UPDATE governance SET body = CAST('{}' AS BLOB) WHERE number = \
        (SELECT MAX(number) FROM governance WHERE account = 'account kim'); PRAGMA user_version = 8";
    db.execute_batch(damage).unwrap();
    federation.start(|_| {}).await;
    let all = acts("account kim");
    let (last, others) = all.split_last().unwrap();
    assert!(last.did.starts_with("UNREADABLE") && others.iter().all(|act| !act.did.contains("UNREADABLE")), "{all:?}");
    let ca = fingerprint(&dir.join("authority/ca.pem")).unwrap();
    let stranger = HubClient::stranger(&spe_hub::Config::read(&dir).unwrap().public, ca).await.unwrap();
    let register = stranger.register().await.unwrap();
    assert_eq!(register.unreadable[0].about, "hub members");
    let mut given = serde_json::to_string(&register).unwrap();
    given += &serde_json::to_string(&stranger.activity(Period::default()).await.unwrap()).unwrap();
    given += &serde_json::to_string(&bob.hub.applications().await.unwrap()).unwrap();
    for hidden in ["kim", "anna", "eve", "founder"] {
        assert!(!given.contains(hidden), "{hidden:?} is told: {given}");
    }
}
