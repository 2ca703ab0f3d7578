//! A log's request to its witness, and what that says.

use spe_kernel::{
    dsse::PublicKey,
    refusal::Refusal,
    tlog::{Ask, LogError, Reply},
};

use crate::{desk::named, limits::WITNESS_BYTES_MAX, pb, service::within};

pub(crate) fn ask(text: &str) -> Result<Ask, Refusal> {
    let malformed =
        |why: LogError| Refusal::Malformed { document: "the request to a witness".into(), why: why.to_string() };
    Ask::parse(text).map_err(malformed)
}

pub(crate) fn reply(reply: Reply, key: PublicKey) -> pb::WitnessReply {
    use pb::witness_reply::What;
    let what = match reply {
        Reply::Cosigned(line) => What::Cosignature(line),
        Reply::From(size) => What::From(size),
    };
    pb::WitnessReply { key: key.to_string(), what: Some(what) }
}

pub(crate) fn read(sent: pb::WitnessReply) -> Result<(Reply, PublicKey), Refusal> {
    use pb::witness_reply::What;
    let missing = || Refusal::Malformed { document: "the witness's reply".into(), why: "it says nothing".into() };
    let reply = match sent.what.ok_or_else(missing)? {
        What::Cosignature(line) => Reply::Cosigned(within(line, "the cosignature", WITNESS_BYTES_MAX)?),
        What::From(size) => Reply::From(size),
    };
    Ok((reply, named(&sent.key, "the witness's key")?))
}
