//! A participation agreement as an ODRL 2.2 Agreement in JSON-LD, for dataspaces: generated and never evaluated. The signed statements count.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Act, Agreement, AgreementBody, Party, Sha256};
use crate::{
    document::Opened,
    dsse::PublicKey,
    ids::Digest,
    permit::odrl::{constraint, instant},
    refusal::Refusal,
};

/// The agreement as it stands at `now`: what was accepted last, from when and until when; not before it was accepted, nor before a suspension
/// was lifted. One that a party has suspended or ended permits nothing since then; where both have, since the first of them did. One that never
/// held is a prohibition.
///
/// # Errors
/// [`Refusal::NotFound`]: nothing was agreed on.
pub fn odrl(agreement: &Agreement, now: Timestamp) -> Result<Value, Refusal> {
    let nothing = || Refusal::NotFound { what: format!("an agreement with node {}", agreement.node()) };
    let offer = agreement.accepted().ok_or_else(nothing)?;
    let Act::Offer { terms, terms_sha256, from, until } = offer.body().act else { return Err(nothing()) };
    let second = agreement.changes().into_iter().find(|change| change.statement.digest() == offer.digest());
    let accepted = second.and_then(|change| change.second).ok_or_else(nothing)?;
    let (since, stopped) = agreement.last_unstopped();
    let start = since.into_iter().chain([accepted.body().signed_at]).fold(from, Timestamp::max);
    let rule = if stopped.is_some_and(|stopped| stopped <= start) { "prohibition" } else { "permission" };
    let ends = until.into_iter().chain(stopped).map(|end| constraint("dateTime", "lt", instant(end)));
    let constraints: Vec<Value> = std::iter::once(constraint("dateTime", "gteq", instant(start))).chain(ends).collect();
    Ok(json!({
        "@context": [
            "http://www.w3.org/ns/odrl.jsonld",
            { "dct": "http://purl.org/dc/terms/", "spdx": "http://spdx.org/rdf/terms#", "spe": "urn:spe:odrl#",
              "xsd": "http://www.w3.org/2001/XMLSchema#" }
        ],
        "@type": "Agreement",
        "uid": format!("urn:spe:agreement:{}", offer.digest()),
        "profile": "urn:spe:odrl",
        "dct:issued": instant(accepted.body().signed_at),
        "assigner": party("hub", agreement.key(Party::Hub), "hub"),
        "assignee": party("node", agreement.key(Party::Node), agreement.node().as_str()),
        rule: [{
            "target": { "@type": "Asset", "uid": federation(agreement.key(Party::Hub)) },
            "action": "use",
            "constraint": constraints,
            "duty": [{ "action": { "@id": "spe:observeTerms" }, "target": document(terms, terms_sha256) }],
        }],
        "spe:standing": agreement.standing(now).name(),
        "spe:signature": [signature(offer), signature(accepted)],
    }))
}

/// What the node may take part in.
fn federation(hub: PublicKey) -> String {
    format!("urn:spe:federation:{hub}")
}

fn party(role: &str, key: PublicKey, name: &str) -> Value {
    json!({ "@type": "Party", "uid": format!("urn:spe:key:{key}"), "spe:role": role, "spe:name": name })
}

/// The text of the terms, with the checksum that catalogues of dataspaces have (SPDX, as in DCAT 3).
fn document(terms: Digest, sha256: Option<Sha256>) -> Value {
    let checksum = sha256.map(|sha256| {
        json!({
            "@type": "spdx:Checksum",
            "spdx:algorithm": { "@id": "spdx:checksumAlgorithm_sha256" },
            "spdx:checksumValue": { "@value": sha256.hex(), "@type": "xsd:hexBinary" },
        })
    });
    json!({ "@type": "Asset", "uid": format!("urn:spe:terms:{terms}"), "spdx:checksum": checksum })
}

fn signature(statement: &Opened<AgreementBody>) -> Value {
    json!({
        "spe:statement": statement.body().act.name(),
        "spe:document": statement.digest(),
        "spe:signer": format!("urn:spe:key:{}", statement.signer()),
        "dct:date": instant(statement.body().signed_at),
    })
}
