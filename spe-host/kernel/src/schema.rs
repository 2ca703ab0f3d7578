//! JSON Schemas of types that are written as text, and of documents as they are published in `docs/schemas`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    agreement::Sha256,
    dsse::PublicKey,
    ids::{DatasetName, Digest, NodeName, PermitNumber, PersonName},
    units::Loss,
};

/// An instant, RFC 3339.
pub struct Instant;
/// A day of the calendar.
pub struct Day;

macro_rules! text {
    ($($type:ty, $name:literal, $pattern:literal, $description:literal;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    )*};
}

text! {
    NodeName, "NodeName", "^[a-z0-9][a-z0-9._-]{0,63}$", "A data holder's node.";
    DatasetName, "DatasetName", "^[a-z0-9][a-z0-9._-]{0,63}$", "A dataset.";
    PersonName, "PersonName", "^[a-z0-9][a-z0-9._-]{0,63}$", "A natural person.";
    PermitNumber, "Number", "^[a-z0-9][a-z0-9._-]{0,63}$", "A reference number, given by the data access body.";
    Digest, "Digest", "^(blake3:)?[0-9a-f]{64}$", "A BLAKE3 digest.";
    Sha256, "Sha256", "^sha256:[0-9a-f]{64}$", "A SHA-256 digest.";
    PublicKey, "PublicKey", "^ed25519:[A-Za-z0-9+/]{43}=$", "An Ed25519 public key.";
    Loss, "Loss", "^(rho|epsilon)=[0-9]+([.][0-9]+)?(,delta=0([.][0-9]+)?)?$", "A privacy loss, such as rho=0.05.";
    Instant, "Instant", "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)$", "An instant, RFC 3339.";
    Day, "Day", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "A day, YYYY-MM-DD.";
}

/// The JSON Schema of a document, pretty, with a line break at its end.
pub fn of<D: JsonSchema>() -> String {
    let mut schema = schemars::schema_for!(D).to_value();
    // Which order a map has depends on what else a program is built with.
    schema.sort_all_objects();
    // A schema is plain JSON.
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}
