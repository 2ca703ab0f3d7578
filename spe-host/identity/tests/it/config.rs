//! `[people]`: rules under which a login would prove nothing do not start a node.

use spe_identity::Issuers;
use spe_kernel::person::{IssuerTerms, People};

use crate::support::{people, terms, write_keys};

fn opened(people: &People) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    write_keys(folder.path());
    std::fs::write(folder.path().join("empty.json"), "{\"keys\":[]}").unwrap();
    Issuers::open(people, folder.path()).map(drop).map_err(|e| e.to_string())
}

#[test]
fn rules_that_prove_nothing_are_named() {
    assert_eq!(opened(&people(terms())), Ok(()));
    assert_eq!(opened(&People::default()), Ok(()), "a node without [people] knows persons by their keys");
    let of = |issuer: &str| people(IssuerTerms { issuer: issuer.into(), jwks_file: None, ..terms() });
    let keys = |file: &str| people(IssuerTerms { jwks_file: Some(file.into()), ..terms() });
    let mut wrong = Vec::new();
    for (rules, expected) in [
        (People { issuers: vec![], ..people(terms()) }, "no job could ever run"),
        (People { login_hours_max: 0, ..people(terms()) }, "login_hours_max"),
        (People { issuers: vec![terms(), terms()], ..people(terms()) }, "there twice"),
        (of("http://login.example.eu"), "not https"),
        (of("login.example.eu"), "not an address"),
        (of("http://127.0.0.1:8400/development"), "NOT FOR PRODUCTION"),
        (of("http://127.0.0.1:8400"), "NOT FOR PRODUCTION"),
        (of("https://login.example.eu/development"), "NOT FOR PRODUCTION"),
        (people(IssuerTerms { client_id: String::new(), ..terms() }), "client_id"),
        (keys("absent.json"), "absent.json"),
        (keys("empty.json"), "no key in it"),
    ] {
        let why = opened(&rules).err();
        if !why.as_ref().is_some_and(|why| why.contains(expected)) {
            wrong.push(format!(
                "expected {expected:?} of {:?}: {why:?}",
                rules.issuers.first().map(|terms| &terms.issuer)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let development = People { development_issuer: true, ..of("http://127.0.0.1:8400/development") };
    assert_eq!(opened(&development), Ok(()));
}
