//! Join a federation: make a key here, and get a certificate for it in exchange for an invitation's token.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use spe_wire::{
    Connection, EnrolRequest, Invitation, request::MemberKey, tls::fingerprint, write_public, write_secret,
};

use crate::{
    connect::{CONNECTION, block_on, make_private, stranger},
    exit::Refused,
    output::Output,
};

/// What is in a member's folder beside [`CONNECTION`].
const CA: &str = "ca.pem";
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

#[derive(Args)]
pub(crate) struct JoinArgs {
    /// The whole line that `spe hub invite --token` printed; a hyphen reads it from standard input
    invitation: String,
    /// The folder to make: your certificate, with the private key that nobody else has
    #[arg(long)]
    dir: PathBuf,
}

pub(crate) fn run(args: &JoinArgs, output: Output) -> Result<()> {
    let line = match args.invitation.as_str() {
        "-" => std::io::read_to_string(std::io::stdin()).context("reading the invitation from standard input")?,
        line => line.to_owned(),
    };
    let invitation: Invitation = line.parse()?;
    let dir = &args.dir;
    if dir.join(CONNECTION).exists() {
        bail!("{} is a member's folder already; choose another", dir.display());
    }
    make_private(dir)?;
    let key = own_key(&dir.join(KEY))?;
    block_on(enrol(&invitation, &key, dir))?;
    output.say(&serde_json::json!({ "member": invitation.member, "dir": dir }), || {
        format!("{} has joined; the certificate and its key are in {}\n", invitation.member, dir.display())
    })
}

/// The key of an attempt that did not end, or a new one: the token is good for one key, so it is on disk before the token is used.
fn own_key(file: &Path) -> Result<MemberKey> {
    if file.exists() {
        let pem = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        return Ok(MemberKey::from_pem(&pem)?);
    }
    let key = MemberKey::generate()?;
    write_secret(file, key.expose_pem())?;
    Ok(key)
}

async fn enrol(invitation: &Invitation, key: &MemberKey, dir: &Path) -> Result<()> {
    let hub = stranger(&invitation.hub, invitation.ca).await?;
    let token = invitation.token.expose_text().to_owned();
    let asked = EnrolRequest { member: invitation.member.clone(), token, request: key.request()? };
    let enrolled = hub.enrol(asked).await?;
    for file in [CA, CERTIFICATE] {
        // Of an attempt that did not end.
        std::fs::remove_file(dir.join(file)).ok();
    }
    write_public(&dir.join(CA), &enrolled.ca)?;
    if fingerprint(&dir.join(CA))? != invitation.ca {
        let why = "the hub sent another certificate authority than the invitation's: ask the hub's operator";
        return Err(Refused::untrusted(why));
    }
    write_public(&dir.join(CERTIFICATE), &enrolled.certificate)?;
    let witness = Some(enrolled.witness);
    let connection = Connection { witness, ..Connection::new(invitation.member.clone(), &invitation.hub) };
    // Last: a folder with this file is a member's.
    Ok(write_public(&dir.join(CONNECTION), &toml::to_string(&connection)?)?)
}
