//! Published schemas: those of the types, and those that the published samples are written in.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use spe_kernel::{
    agreement::AgreementBody,
    application::ApplicationBody,
    decision::DecisionBody,
    deletion::{DELETION_FORMAT, DELETION_TEXT_BYTES_MAX, Deleted, DeletedKind, DeletionBody},
    ids::Digest,
    notice::{NoticeBody, SupplementBody},
    permit::PermitBody,
    revocation::RevocationBody,
    schema,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas")
}

/// To update them: `SPE_UPDATE_GENERATED=1 cargo test --release --workspace --test kernel schemas`.
#[test]
fn published_schemas_are_those_of_the_types() {
    let all = [
        ("permit", schema::of::<PermitBody>()),
        ("application", schema::of::<ApplicationBody>()),
        ("decision", schema::of::<DecisionBody>()),
        ("revocation", schema::of::<RevocationBody>()),
        ("notice", schema::of::<NoticeBody>()),
        ("supplement", schema::of::<SupplementBody>()),
        ("agreement", schema::of::<AgreementBody>()),
        ("deletion", schema::of::<DeletionBody>()),
    ];
    for (name, made) in all {
        let file = folder().join(format!("{name}.json"));
        if std::env::var_os("SPE_UPDATE_GENERATED").is_some() {
            fs::write(&file, &made).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == made,
            "{} is not the schema of the type: run this test with SPE_UPDATE_GENERATED=1",
            file.display()
        );
    }
}

/// The samples are the drafts in `policies/`, as JSON; that they are, a test of the command line watches.
#[test]
fn published_samples_are_valid_and_what_is_wrong_is_not() {
    let schema = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(folder().join(format!("{name}.json"))).unwrap()).unwrap()
    };
    let (mut seen, mut kinds) = (0, std::collections::BTreeSet::new());
    for entry in fs::read_dir(folder().join("samples")).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let kind = name.split_once('-').unwrap().0.to_owned();
        let validator = jsonschema::validator_for(&schema(&kind)).unwrap();
        let sample: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let wrong: Vec<_> = validator.iter_errors(&sample).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        for (field, value) in [
            ("format", "spe.permit/1".into()),
            ("unknown", 1.into()),
            ("issuer", Value::Null),
            ("number", "A B".into()),
        ] {
            let mut bent = sample.clone();
            if field == "unknown" || bent.get(field).is_some() {
                bent[field] = value;
                assert!(!validator.is_valid(&bent), "{name} with another {field} is valid");
            }
        }
        (seen, _) = (seen + 1, kinds.insert(kind));
    }
    assert!(seen >= 9 && kinds.len() == 4, "{seen} samples of {kinds:?}");
}

/// What would be a bug: a certificate that this program writes and the published schema refuses, or one that says nothing and is valid.
#[test]
fn a_deletion_certificate_is_valid_and_an_empty_one_is_not() {
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema::of::<DeletionBody>()).unwrap()).unwrap();
    let body = DeletionBody {
        format: DELETION_FORMAT.into(),
        node: "north".parse().unwrap(),
        dataset: Some("care".parse().unwrap()),
        permit: None,
        deleted_at: "2030-01-01T00:00:00Z".parse().unwrap(),
        by: "data protection officer".into(),
        reason: "the permit expired".into(),
        deleted: vec![Deleted { kind: DeletedKind::DataKey, version: Some(1), id: Digest::of(b"key") }],
    };
    let good = serde_json::to_value(&body).unwrap();
    let wrong: Vec<_> = validator.iter_errors(&good).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    for (field, value) in [
        ("format", "spe.deletion/2".into()),
        ("deleted", Value::Array(Vec::new())),
        ("by", "".into()),
        ("reason", "x".repeat(DELETION_TEXT_BYTES_MAX + 1).into()),
        ("unknown", 1.into()),
    ] {
        let mut bent = good.clone();
        bent[field] = value;
        assert!(!validator.is_valid(&bent), "another {field} is valid");
    }
}
