//! What a permit brought to a node is gone after its end, and a certificate says so.

use std::{sync::Arc, time::Duration};

use spe_kernel::{
    deletion::{DeletedKind, Deletion},
    dsse::PublicKey,
};
use spe_node::ending::keep_ending;

use crate::{
    place::{Place, eventually},
    question::{Doomed, PERMIT, escorted, once, open},
};

fn compiled(place: &Place) -> usize {
    std::fs::read_dir(place.path("north/data/compiled")).unwrap().count()
}

/// Starts the node again, and waits until its desk is open: before that, whoever asks would take its ledger.
fn restart(place: &mut Place) {
    place.wait_online(0);
    place.start_node("north");
    place.wait_online(1);
}

fn endings(place: &Place) -> usize {
    place.ok(&["node", "desk", "endings", "north"]).as_array().unwrap().len()
}

/// Starts the node again, and gives why it then deleted the one module that the permit had brought, as its certificate says.
fn deleted_because(place: &mut Place) -> String {
    restart(place);
    eventually("what the permit brought is deleted", || compiled(place) == 0);
    eventually("the certificate is there", || endings(place) == 1);
    certified_because(place)
}

/// Why the one module that the permit had brought was deleted, as its certificate says.
fn certified_because(place: &Place) -> String {
    for _ in 0..2 {
        place.ok(&["node", "desk", "endings", "north", "--out", "certificates"]);
    }
    let files: Vec<_> =
        std::fs::read_dir(place.path("certificates")).unwrap().map(|file| file.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("one certificate, in {files:?}") };
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("dap-2026-0001+"), "{file:?}");
    let certificate = std::fs::read(file).unwrap();
    let key =
        place.ok(&["key", "show", "north/signing.key"])["public_key"].as_str().unwrap().parse::<PublicKey>().unwrap();
    let deletion = Deletion::verify(&certificate, &[key]).unwrap();
    let body = deletion.body();
    assert_eq!(body.permit.as_ref().unwrap().as_str(), "dap-2026-0001");
    assert!(matches!(body.deleted.as_slice(), [one] if one.kind == DeletedKind::CompiledModule), "{:?}", body.deleted);
    body.reason.clone()
}

/// What would be a bug: a module that stays after its permit, one that goes while the permit runs, or a deletion that nobody can prove.
#[test]
fn what_a_revoked_permit_brought_is_deleted_with_a_certificate() {
    let mut place = Place::at_work(&["north"]);
    assert_eq!(place.ask("rho=0.1", &[])["answered"], 1);
    assert_eq!(compiled(&place), 1);
    assert_eq!(endings(&place), 0, "a permit that is in force has ended");
    place.kill("north");
    assert_eq!(compiled(&place), 1);
    revoke(&place);
    let why = deleted_because(&mut place);
    assert!(why.contains("was revoked at") && why.contains("Art. 63(3)"), "{why}");
}

/// The data access body takes the permit back while the node is down.
fn revoke(place: &Place) {
    let now = jiff::Timestamp::now();
    let draft = format!(
        "format = \"spe.revocation/1\"\nissuer = \"Example data access body\"\nissued_at = \"{now}\"\neffective_at = \"{now}\"\n\
         reason = \"the project ended\"\ntarget = {{ permit = \"dap-2026-0001\" }}\n"
    );
    std::fs::write(place.path("revocation.toml"), draft).unwrap();
    place.ok(&["revocation", "sign", "revocation.toml", "--key", "access-body.key", "--out", "revocation.json"]);
    place.ok(&["node", "desk", "revoke", "north", "revocation.json"]);
}

/// Does something to the ledger's file of a node that is down.
fn ledger(place: &Place, sql: &str) {
    rusqlite::Connection::open(place.path("north/data/ledger.sqlite")).unwrap().execute_batch(sql).unwrap();
}

/// What would be a bug: a process that dies when the module is deleted and the certificate is not yet kept, so that nobody ever certifies it; or
/// that is certified twice; or of which something is left.
#[test]
fn a_death_between_the_deletion_and_its_certificate_leaves_one_certificate() {
    let mut place = Place::at_work(&["north"]);
    assert_eq!(place.ask("rho=0.1", &[])["answered"], 1);
    place.kill("north");
    revoke(&place);
    // What is kept of the end is one transaction: it does not come about, as if the process had died before.
    ledger(
        &place,
        "CREATE TRIGGER dies BEFORE INSERT ON ending BEGIN SELECT RAISE(ABORT, 'the process dies here'); END",
    );
    restart(&mut place);
    eventually("the module is deleted", || compiled(&place) == 0);
    eventually("the process dies", || {
        std::fs::read_to_string(place.path("north.log")).unwrap().contains("the process dies here")
    });
    assert_eq!(endings(&place), 0, "it was certified before it was kept");
    place.kill("north");
    ledger(&place, "DROP TRIGGER dies");
    let why = deleted_because(&mut place);
    assert!(why.contains("was revoked at"), "{why}");
    for _ in 0..2 {
        place.stop("north");
        let told = place.ok(&["audit", "show", "north", "--event", "permit-ended"]);
        assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
        assert!(told[0]["event"]["document"].is_string(), "the log does not name the certificate: {told}");
        assert_eq!(place.ok(&["audit", "verify", "north"])["holds"], true);
        restart(&mut place);
        assert_eq!((endings(&place), compiled(&place)), (1, 0));
    }
    place.stop("north");
    let db = rusqlite::Connection::open(place.path("north/data/ledger.sqlite")).unwrap();
    let left = db.query_row("SELECT COUNT(*) FROM brought", [], |r| r.get::<_, u32>(0)).unwrap();
    assert_eq!(left, 0, "something of the permit is left");
}

/// What would be a bug: a permit that ends by its own date while the node runs, of which nobody is told before the next start, and whose modules
/// stay until then; or a certificate that gives another reason than that date.
#[test]
fn a_node_that_runs_deletes_what_an_expired_permit_brought() {
    let place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    let ada = place.ok(&["key", "show", "researcher/signing.key"])["public_key"].as_str().unwrap().to_owned();
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(60);
    std::fs::remove_file(place.path("permit.json")).unwrap();
    place.permit("permit", &ada, "rho=1", "2026-01-01T00:00:00Z", &until.to_string());
    let site = Arc::new(open(place.dir.path()));
    let submitted = once(0).submitted_under(PERMIT, &site, place.dir.path(), None);
    escorted(&site, &submitted, &mut Doomed::new(once(0), None)).unwrap_or_else(|stop| panic!("{stop:?}"));
    assert_eq!(compiled(&place), 1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    let looking = runtime.spawn(keep_ending(Arc::clone(&site), Duration::from_millis(50)));
    std::thread::sleep(Duration::try_from(until.duration_since(jiff::Timestamp::now())).unwrap_or_default());
    eventually("what the permit brought is deleted", || compiled(&place) == 0);
    eventually("the certificate is there", || site.audit().endings().unwrap().len() == 1);
    assert!(jiff::Timestamp::now() >= until, "it was deleted before the permit was over");
    looking.abort();
    drop((runtime, site));
    let why = certified_because(&place);
    assert!(why.contains("expired at") && why.contains("Art. 68(12)"), "{why}");
}
