//! What a permit brought to a node is gone after its end, and a certificate says so.

use spe_kernel::{
    deletion::{DeletedKind, Deletion},
    dsse::PublicKey,
};

use crate::place::{Place, eventually};

fn compiled(place: &Place) -> usize {
    std::fs::read_dir(place.path("north/data/compiled")).unwrap().count()
}

/// What would be a bug: a module that stays after its permit, one that goes while the permit runs, or a deletion that nobody can prove.
#[test]
fn what_an_expired_permit_brought_is_deleted_with_a_certificate() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.start_hub();
    place.start_node("north");
    place.wait_online(1);
    assert_eq!(place.ask("rho=0.1", &[])["answered"], 1);
    assert_eq!(compiled(&place), 1);
    let endings = || place.ok(&["node", "desk", "endings", "north"]);
    assert_eq!(endings().as_array().unwrap().len(), 0, "a permit that is in force has ended");
    place.kill("north");
    assert_eq!(compiled(&place), 1);
    // The data access body takes it back while the node is down: the end of a permit by revocation or by time is the same to this.
    let now = jiff::Timestamp::now();
    let draft = format!(
        "format = \"spe.revocation/1\"\nissuer = \"Example data access body\"\nissued_at = \"{now}\"\neffective_at = \"{now}\"\n\
         reason = \"the project ended\"\ntarget = {{ permit = \"dap-2026-0001\" }}\n"
    );
    std::fs::write(place.path("revocation.toml"), draft).unwrap();
    place.ok(&["revocation", "sign", "revocation.toml", "--key", "access-body.key", "--out", "revocation.json"]);
    place.ok(&["node", "desk", "revoke", "north", "revocation.json"]);
    place.start_node("north");
    eventually("what the permit brought is deleted", || compiled(&place) == 0);
    eventually("the certificate is there", || {
        place.ok(&["node", "desk", "endings", "north"]).as_array().unwrap().len() == 1
    });
    place.ok(&["node", "desk", "endings", "north", "--out", "certificates"]);
    let certificate = std::fs::read(place.path("certificates/dap-2026-0001.deletion.json")).unwrap();
    let key =
        place.ok(&["key", "show", "north/signing.key"])["public_key"].as_str().unwrap().parse::<PublicKey>().unwrap();
    let deletion = Deletion::verify(&certificate, &[key]).unwrap();
    let body = deletion.body();
    assert_eq!(body.permit.as_ref().unwrap().as_str(), "dap-2026-0001");
    assert!(body.reason.contains("Art. 63(3)"), "{}", body.reason);
    assert!(matches!(body.deleted.as_slice(), [one] if one.kind == DeletedKind::CompiledModule), "{:?}", body.deleted);
}
