//! The table of endpoints and roles, tried out: every endpoint with every role, as a node, and without a certificate.

use std::path::Path;

use futures::future::BoxFuture;
use spe_hub::{
    roles::{Endpoint, Listed, Open, PersonRole, table},
    roles_of,
};
use spe_kernel::{disclosure::Catalogue, refusal::Refusal, tlog::Ask};
use spe_wire::{
    EnrolRequest, HubClient, Ruling, Submission, encode, governance::Period, request::MemberKey, tls::fingerprint,
};

use crate::federation::{Federation, client, founder, secret};

/// Asks for one thing, and says what the hub said.
fn ask(hub: &HubClient, endpoint: Endpoint, member: &str) -> BoxFuture<'static, Result<(), Refusal>> {
    let (hub, member) = (hub.clone(), member.to_owned());
    Box::pin(async move {
        let (job, application) = ("job-0".parse().unwrap(), "application-0".parse().unwrap());
        let catalogue = || {
            let node = member.strip_prefix("node ").unwrap_or("north").parse().unwrap();
            encode(&Catalogue { node, key: secret("k").public(), access_bodies: Vec::new(), datasets: Vec::new() })
        };
        match endpoint {
            Endpoint::Enrol => {
                let request = MemberKey::generate().unwrap().request().unwrap();
                let member = "node stranger".parse().unwrap();
                hub.enrol(EnrolRequest { member, token: "none".into(), request }).await.map(drop)
            }
            Endpoint::Register => hub.register().await.map(drop),
            Endpoint::Activity => hub.activity(Period::default()).await.map(drop),
            Endpoint::PutModule => hub.put_module(vec![1]).await.map(drop),
            Endpoint::Submit => hub.submit(Submission { job: vec![1], permit: vec![1] }).await.map(drop),
            Endpoint::Watch => match hub.watch(&job).await {
                Ok(mut views) => views.next().await.map(drop),
                Err(refusal) => Err(refusal),
            },
            Endpoint::View => hub.view(&job).await.map(drop),
            Endpoint::Answers => hub.answers(&job).await.map(drop),
            Endpoint::Cancel => hub.cancel(&job).await.map(drop),
            Endpoint::Jobs => hub.jobs().await.map(drop),
            Endpoint::Browse => hub.browse().await.map(drop),
            Endpoint::Attend => hub.attend(catalogue()).await.map(drop),
            Endpoint::Offer => hub.offer(catalogue()).await,
            Endpoint::FetchModule => hub.fetch_module(spe_kernel::ids::Digest::of(b"none")).await.map(drop),
            Endpoint::Agree => hub.agree(Vec::new()).await.map(drop),
            Endpoint::Report => hub.report(&job, encode(&Refusal::Cancelled)).await,
            Endpoint::Witness => {
                let ask = Ask { old: 0, path: Vec::new(), checkpoint: "a log\n0\n\n\n".into() };
                hub.witness(&ask).await.map(drop)
            }
            Endpoint::Revoke => hub.revoke(vec![1]).await.map(drop),
            Endpoint::Apply => hub.apply(vec![1]).await.map(drop),
            Endpoint::Applications => hub.applications().await.map(drop),
            Endpoint::Application => hub.application(&application).await.map(drop),
            Endpoint::Withdraw => hub.withdraw(&application).await.map(drop),
            Endpoint::Notify => hub.notify(&application, vec![1]).await.map(drop),
            Endpoint::Decide => hub.decide(&application, Ruling { decision: vec![1], permit: None }).await.map(drop),
            Endpoint::Complete => hub.complete(&application, vec![1]).await.map(drop),
            Endpoint::Publish => hub.publish(&job).await,
        }
    })
}

/// Whether the hub let the caller in: what came after it, a document that is none or a job that is not there, is another matter.
fn let_in(answer: &Result<(), Refusal>) -> bool {
    let shut = |what: &str| what.starts_with("do ") || what.starts_with("call this");
    !matches!(answer, Err(Refusal::NotAllowed { what, .. }) if shut(what))
}

/// What would be a bug: an endpoint that answers somebody whom the table does not name, or refuses somebody whom it does.
#[tokio::test]
async fn everybody_may_do_what_the_table_says_and_nothing_else() {
    let federation = Federation::found().await;
    let dir = federation.dir.path();
    let ca = fingerprint(&dir.join("authority/ca.pem")).unwrap();
    let address = spe_hub::Config::read(dir).unwrap().public;
    let mut callers = vec![
        (None, "node north".to_owned(), client(&federation.invite("node north")).await),
        (None, "nobody".to_owned(), HubClient::stranger(&address, ca).await.unwrap()),
    ];
    for role in PersonRole::ALL.iter().copied() {
        let name = format!("person {role}");
        let hub = client(&federation.invite(&name)).await;
        let node = role.is_for_nodes().then(|| "north".parse().unwrap());
        roles_of(dir, &role.name().parse().unwrap(), Some((&[Listed { role, node }], &founder()))).unwrap();
        callers.push((Some(role), name, hub));
    }
    let idle = client(&federation.invite("person idle")).await;
    roles_of(dir, &"idle".parse().unwrap(), Some((&[], &founder()))).unwrap();
    callers.push((None, "person idle".to_owned(), idle));
    for endpoint in Endpoint::ALL.iter().copied() {
        for (role, name, hub) in &callers {
            let expected = match endpoint.open() {
                Open::Public => true,
                Open::Nodes => name.starts_with("node "),
                Open::Persons(roles) => role.is_some_and(|role| roles.contains(&role)),
            };
            let answer = ask(hub, endpoint, name).await;
            assert_eq!(let_in(&answer), expected, "{endpoint} for {name}: {answer:?}");
        }
    }
}

/// What would be a bug: a person who keeps what a role allowed after it was taken away.
#[tokio::test]
async fn roles_change_while_the_hub_runs() {
    let federation = Federation::found().await;
    let anna = federation.person("anna").await;
    anna.hub.jobs().await.expect("an invited researcher may list jobs");
    roles_of(federation.dir.path(), &"anna".parse().unwrap(), Some((&["auditor".parse().unwrap()], &founder())))
        .unwrap();
    let refused = anna.hub.jobs().await.expect_err("a role that was taken away still opens");
    assert!(refused.to_string().contains("data-user"), "the refusal does not say who may: {refused}");
    let auditor: Vec<Listed> = roles_of(federation.dir.path(), &"anna".parse().unwrap(), None).unwrap();
    assert_eq!(auditor.iter().map(ToString::to_string).collect::<Vec<_>>(), ["auditor"]);
}

#[test]
fn a_role_for_nodes_names_them() {
    assert_eq!("assessor@north".parse::<Listed>().unwrap().to_string(), "assessor@north");
    for wrong in ["assessor", "data-user@north", "assessor@", "king"] {
        assert!(wrong.parse::<Listed>().is_err(), "{wrong:?} was taken for a role");
    }
}

/// What would be a bug: a method of the hub that the table does not know, or the other way round.
#[test]
fn the_table_has_every_method() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/proto/spe.proto");
    let text = std::fs::read_to_string(proto).unwrap();
    let methods = text.lines().filter_map(|line| line.trim().strip_prefix("rpc "));
    let mut methods: Vec<_> = methods.map(|rest| rest.split('(').next().unwrap().trim().to_owned()).collect();
    let mut known: Vec<_> = Endpoint::ALL.iter().map(ToString::to_string).collect();
    methods.sort();
    known.sort();
    assert_eq!(methods, known);
}

/// To update it: `SPE_UPDATE_GENERATED=1 cargo test --release --workspace --test hub docs`.
#[test]
fn the_docs_show_the_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/roles.md");
    let (begin, end) = ("<!-- table: begin -->\n", "<!-- table: end -->");
    let kept = std::fs::read_to_string(&file).unwrap();
    let (head, rest) = kept.split_once(begin).expect("docs/roles.md has no place for the table");
    let (shown, tail) = rest.split_once(end).expect("the place for the table has no end");
    if std::env::var_os("SPE_UPDATE_GENERATED").is_some() {
        std::fs::write(&file, [head, begin, &table(), end, tail].concat()).unwrap();
        return;
    }
    assert_eq!(shown, table(), "docs/roles.md is not the table; run this test with SPE_UPDATE_GENERATED=1");
}
