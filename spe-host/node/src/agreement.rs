//! The participation agreement, the node's side: a folder of signed statements, the hub's and its own. Without a live agreement no job runs.

use std::{fs, path::Path};

use jiff::Timestamp;
use spe_kernel::{
    agreement::{Act, Agreement, AgreementBody, Party},
    audit::Event,
    document::{self, Document, Opened},
    dsse::{PublicKey, SecretKey},
    fault::Fault,
    ids::NodeName,
    refusal::{Refusal, Stop},
};
use spe_wire::{HubClient, write_public};

use crate::site::Site;

/// The folder's name in a node's data folder.
pub const FOLDER: &str = "agreement";
/// How often both sides tell each other something new before the node gives up.
const EXCHANGES_MAX: u32 = 3;

/// A node's agreement with its hub.
pub struct Book<'a> {
    folder: &'a Path,
    node: &'a NodeName,
    key: &'a SecretKey,
    hub: PublicKey,
}

impl<'a> Book<'a> {
    /// That of the node of that name and key, kept in `folder`, with the hub of that key.
    pub const fn new(folder: &'a Path, (node, key): (&'a NodeName, &'a SecretKey), hub: PublicKey) -> Self {
        Self { folder, node, key, hub }
    }

    fn envelopes(&self) -> Result<Vec<Vec<u8>>, Fault> {
        let reading = || Fault::while_("reading the agreement");
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let files = fs::read_dir(self.folder).map_err(reading())?;
        let mut all = Vec::new();
        for file in files {
            let path = file.map_err(reading())?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                all.push(fs::read(path).map_err(reading())?);
            }
        }
        Ok(all)
    }

    /// What was stated so far.
    ///
    /// # Errors
    /// A file that cannot be read, or is no statement of either party.
    pub fn read(&self) -> Result<Agreement, Stop> {
        let mut agreement = Agreement::new(self.node.clone(), self.hub, self.key.public());
        for envelope in self.envelopes()? {
            agreement.add(document::open(&envelope)?)?;
        }
        Ok(agreement)
    }

    /// Makes a statement of the node's.
    ///
    /// # Errors
    /// A statement that is none, or cannot be kept.
    pub fn state(&self, act: Act, now: Timestamp) -> Result<Agreement, Stop> {
        let mut agreement = self.read()?;
        let (format, number) = (AgreementBody::FORMAT.into(), agreement.next_number(Party::Node));
        let body = AgreementBody { format, node: self.node.clone(), number, signed_at: now, act };
        body.check()?;
        self.keep(&mut agreement, &document::sign(&body, self.key))?;
        Ok(agreement)
    }

    /// Keeps a statement, and says whether it is new. A file is whole, or not there.
    fn keep(&self, agreement: &mut Agreement, envelope: &[u8]) -> Result<bool, Stop> {
        let statement: Opened<AgreementBody> = document::open(envelope)?;
        let name = statement.digest().hex();
        if !agreement.add(statement)? {
            return Ok(false);
        }
        const KEEPING: &str = "keeping the agreement";
        fs::create_dir_all(self.folder).map_err(Fault::while_(KEEPING))?;
        let part = self.folder.join(format!("{name}.part"));
        fs::remove_file(&part).ok();
        write_public(&part, &String::from_utf8_lossy(envelope)).map_err(Fault::while_(KEEPING))?;
        fs::rename(&part, self.folder.join(format!("{name}.json"))).map_err(Fault::while_(KEEPING))?;
        Ok(true)
    }

    /// Tells the hub what the node states, and keeps what the hub states. The first offer is accepted: whoever runs a node with an
    /// invitation joins on its terms. Later ones the operator accepts.
    ///
    /// # Errors
    /// The hub's refusal, or a statement that is none.
    pub async fn exchange(&self, hub: &HubClient) -> Result<Agreement, Stop> {
        let mut agreement = self.read()?;
        for _ in 0..EXCHANGES_MAX {
            for envelope in hub.agree(self.own()?).await? {
                self.keep(&mut agreement, &envelope)?;
            }
            match agreement.latest_offer().map(Opened::digest) {
                Some(offer) if agreement.accepted().is_none() => {
                    agreement = self.state(Act::Accept { offer }, Timestamp::now())?;
                }
                _ => break,
            }
        }
        Ok(agreement)
    }

    fn own(&self) -> Result<Vec<Vec<u8>>, Fault> {
        let mine = |envelope: &Vec<u8>| {
            document::open::<AgreementBody>(envelope).is_ok_and(|one| one.signer() == self.key.public())
        };
        Ok(self.envelopes()?.into_iter().filter(mine).collect())
    }
}

impl Site {
    /// Nothing, if there is a live agreement with the hub of that key: read anew for each job, so that an operator's word counts at once.
    ///
    /// # Errors
    /// [`Refusal::AgreementNotLive`], or an agreement that cannot be read.
    pub(crate) fn takes_part(&self, hub: Option<PublicKey>) -> Result<(), Stop> {
        let why = || "the invitation names no key of the hub; ask for a new one".into();
        let hub = hub.ok_or_else(|| Refusal::AgreementNotLive { node: self.name.clone(), why: why() })?;
        let folder = self.vault_dir.with_file_name(FOLDER);
        let agreement = Book::new(&folder, (&self.name, &self.key), hub).read()?;
        Ok(agreement.live(self.now())?)
    }

    /// Tells the hub of that key what the node states, and keeps what the hub states.
    ///
    /// # Errors
    /// As [`Book::exchange`].
    pub(crate) async fn exchange_agreement(&self, client: &HubClient, hub: Option<PublicKey>) -> Result<(), Stop> {
        let Some(hub) = hub else { return Ok(()) };
        let folder = self.vault_dir.with_file_name(FOLDER);
        let agreement = Book::new(&folder, (&self.name, &self.key), hub).exchange(client).await?;
        self.log_agreement(&agreement)?;
        Ok(())
    }

    /// Once for each change.
    fn log_agreement(&self, agreement: &Agreement) -> Result<(), Fault> {
        let document = agreement.digest();
        self.audit().log_change("agreement", document, Event::AgreementChanged { document }).map(drop)
    }
}
