//! Between a node and its key holder: mutual TLS to another authority than the hub's, and two questions.

use std::{future::Future, io, sync::Arc};

use spe_kernel::{
    ids::{DatasetName, Digest},
    keys::{IDENTIFIER_BYTES_MAX, Identifiers, Newest, Zeroize},
    optout::Subject,
    refusal::Refusal,
};
use tokio::{net::TcpListener, sync::watch};
use tonic::{Request, Response};

use crate::{
    desk::{Reply, named, ok, peer},
    pb_keyholder::{self as pb, key_holder_server},
    seats::Seats,
    server::served,
    service::{Peer, within},
    tls::ServerTls,
};

mod client;
pub use client::KeyHolderClient;

/// Identifiers in one message.
pub const IDENTIFIERS_MAX: usize = 16_384;
/// What they take together, in bytes.
pub const IDENTIFIERS_BYTES_MAX: usize = 1 << 20;
/// A whole message: lengths are at most five bytes each.
const MESSAGE_BYTES_MAX: usize = IDENTIFIERS_BYTES_MAX + IDENTIFIERS_MAX * 5 + (4 << 10);

/// What a key holder does.
pub trait KeyHolder: Send + Sync + 'static {
    /// The keys of the caller's dataset: the data key of a version, or the newest, which is made when there is none.
    fn keys(
        &self,
        node: Digest,
        dataset: DatasetName,
        version: Option<u32>,
    ) -> impl Future<Output = Result<Newest, Refusal>> + Send;
    /// The pseudonyms of `identifiers` in the caller's dataset, in their order.
    fn pseudonymise(
        &self,
        node: Digest,
        dataset: DatasetName,
        version: u32,
        identifiers: Identifiers,
    ) -> impl Future<Output = Result<Vec<Subject>, Refusal>> + Send;
}

/// Serves `holder` on `listener` until `shutdown`. `tls` must ask every caller for a certificate: [`ServerTls::mutual`].
///
/// # Errors
/// The transport's own.
pub async fn serve_keys<H: KeyHolder>(
    listener: TcpListener,
    tls: ServerTls,
    seats: Seats,
    holder: Arc<H>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let desk = key_holder_server::KeyHolderServer::new(Desk(holder)).max_decoding_message_size(MESSAGE_BYTES_MAX);
    served(desk, listener, tls, seats, watch::channel(false).0, shutdown).await
}

struct Desk<H>(Arc<H>);

#[tonic::async_trait]
impl<H: KeyHolder> key_holder_server::KeyHolder for Desk<H> {
    async fn keys(&self, request: Request<pb::KeysRequest>) -> Reply<pb::Keys> {
        let node = ok(node(peer(&request)?))?;
        let pb::KeysRequest { dataset, data_key_version } = request.into_inner();
        let dataset = ok(named(&dataset, "the dataset's name"))?;
        let version = (data_key_version > 0).then_some(data_key_version);
        let Newest { data, pseudonyms } = ok(self.0.keys(node, dataset, version).await)?;
        let (data_key, digest_key) = data.expose();
        Ok(Response::new(pb::Keys {
            data_key_version: data.version(),
            data_key: data_key.to_vec(),
            digest_key: digest_key.to_vec(),
            pseudonym_version: pseudonyms.version,
            pseudonym_check: pseudonyms.check.as_bytes().to_vec(),
        }))
    }

    async fn pseudonymise(&self, request: Request<pb::Identifiers>) -> Reply<pb::Pseudonyms> {
        let node = ok(node(peer(&request)?))?;
        let mut sent = request.into_inner();
        let read = named(&sent.dataset, "the dataset's name").and_then(|name| Ok((name, identifiers(&sent)?)));
        sent.packed.zeroize();
        let (dataset, identifiers) = ok(read)?;
        let made = ok(self.0.pseudonymise(node, dataset, sent.version, identifiers).await)?;
        Ok(Response::new(pb::Pseudonyms { packed: made.into_flattened() }))
    }
}

/// Whoever has no certificate does not get through the handshake; this is the second lock.
fn node(peer: Peer) -> Result<Digest, Refusal> {
    let stranger =
        || Refusal::NotAllowed { who: "a caller without certificate".into(), what: "call the key holder".into() };
    peer.fingerprint.ok_or_else(stranger)
}

fn identifiers(sent: &pb::Identifiers) -> Result<Identifiers, Refusal> {
    let document = || String::from("the identifiers");
    within(&sent.packed, "the identifiers", IDENTIFIERS_BYTES_MAX)?;
    if sent.lengths.len() > IDENTIFIERS_MAX {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let (size, limit) = (count(sent.lengths.len()), count(IDENTIFIERS_MAX));
        return Err(Refusal::TooLarge { what: "the number of identifiers".into(), size, limit });
    }
    let mut rest = sent.packed.as_slice();
    let mut all = Identifiers::default();
    for length in &sent.lengths {
        let length = usize::try_from(*length).unwrap_or(usize::MAX);
        let cut = rest.split_at_checked(length).filter(|_| length <= IDENTIFIER_BYTES_MAX);
        let (one, more) =
            cut.ok_or_else(|| Refusal::Malformed { document: document(), why: "a wrong length".into() })?;
        all.push_packed(one);
        rest = more;
    }
    if rest.is_empty() {
        Ok(all)
    } else {
        Err(Refusal::Malformed { document: document(), why: "too many bytes".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(lengths: Vec<u32>, packed: &[u8]) -> Result<usize, Refusal> {
        let dataset = "care".into();
        identifiers(&pb::Identifiers { dataset, version: 1, lengths, packed: packed.to_vec() }).map(|all| all.len())
    }

    /// What would be a bug: a caller who fills the key holder's memory, or lengths that make two identifiers of one.
    #[test]
    fn identifiers_are_bounded_and_add_up() {
        assert_eq!(sent(vec![1, 0, 2], b"abc"), Ok(3));
        for (lengths, packed) in [(vec![4], &b"abc"[..]), (vec![2], b"abc"), (vec![u32::MAX], b"abc"), (vec![], b"a")] {
            assert!(matches!(sent(lengths.clone(), packed), Err(Refusal::Malformed { .. })), "{lengths:?}");
        }
        let long = vec![0; IDENTIFIER_BYTES_MAX + 1];
        assert!(sent(vec![u32::try_from(long.len()).unwrap()], &long).is_err());
        assert!(matches!(sent(vec![0; IDENTIFIERS_MAX + 1], b""), Err(Refusal::TooLarge { .. })));
    }
}
