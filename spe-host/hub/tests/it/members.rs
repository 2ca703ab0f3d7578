//! Who may call, and as whom.

use spe_hub::{dismiss, invite};
use spe_kernel::{dataset::ColumnType, disclosure::Catalogue, federation::Outcome, refusal::Refusal};
use spe_wire::{Connection, HubClient, encode, pki::Authority, view::State};

use crate::federation::{Federation, client, role, secret, soon};

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
    dismiss(federation.dir.path(), &role("node north")).unwrap();
    let again = client(&federation.invite("node north")).await;
    assert!(again.offer(encode(&rekeyed)).await.is_err(), "a new certificate unpinned the key");
    again.offer(north.offer()).await.expect("the old key under a new certificate");
}

#[tokio::test]
async fn nodes_agree_on_a_schema_or_use_another_name() {
    let federation = Federation::found().await;
    let (north, south) = (federation.node("north").await, federation.node("south").await);
    drop(north.attend().await);
    let mut other = south.catalogue();
    other.datasets[0].schema.tables[0].columns[0].kind = ColumnType::Integer { min: 0, max: 99 };
    let refused = south.hub.offer(encode(&other)).await.expect_err("two schemas for one dataset");
    let text = refused.to_string();
    assert!(text.contains("census") && text.contains("north") && text.contains("people.age"), "{text}");
    other.datasets[0].schema.name = "census-2".parse().unwrap();
    south.hub.offer(encode(&other)).await.unwrap();
    let twice =
        Catalogue { datasets: [south.catalogue().datasets, south.catalogue().datasets].concat(), ..south.catalogue() };
    assert!(matches!(south.hub.offer(encode(&twice)).await, Err(Refusal::Malformed { .. })));
    dismiss(federation.dir.path(), &role("node north")).unwrap();
    other.datasets[0].schema.name = "census".parse().unwrap();
    south.hub.offer(encode(&other)).await.expect("a name that only a dismissed node used is free");
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
    dismiss(federation.dir.path(), &role("node north")).unwrap();
    assert!(matches!(north.hub.report(&job, encode(&Refusal::Cancelled)).await, Err(Refusal::NotAllowed { .. })));
    let view = anna.hub.view(&job).await.unwrap();
    assert_eq!(view.state, State::Complete);
    assert!(view.nodes[0].outcome != Outcome::Offline, "the job waits for a node that will never come");
    assert!(matches!(anna.ask(1).await, Err(Refusal::DatasetUnknown { .. })));
    assert!(dismiss(federation.dir.path(), &role("node north")).is_err());
}

#[tokio::test]
async fn an_invitation_is_not_repeated() {
    let federation = Federation::found().await;
    let bundle = federation.invite("person anna");
    let error = invite(federation.dir.path(), &role("person anna")).expect_err("anna was invited twice");
    assert!(error.to_string().contains("dismiss"), "{error}");
    client(&bundle).await.jobs().await.expect("the first invitation must stay good");
    assert!(invite(federation.dir.path(), &role("hub")).is_err());
    let found_again = spe_hub::init(federation.dir.path(), &["x".into()], "127.0.0.1:1".parse().unwrap());
    assert!(found_again.is_err(), "a federation was overwritten");
}
