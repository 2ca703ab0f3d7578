//! A node's end.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use rustls::pki_types::ServerName;
use spe_kernel::{
    ids::{DatasetName, Digest},
    keys::{DataKey, Identifiers, Newest, Scheme, Zeroizing},
    optout::Subject,
    refusal::Refusal,
};
use tokio_rustls::TlsConnector;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use super::{IDENTIFIERS_BYTES_MAX, IDENTIFIERS_MAX, MESSAGE_BYTES_MAX};
use crate::{
    Connection, FileError,
    client::Dial,
    pb_keyholder::{self as pb, key_holder_client},
    server::{PING_INTERVAL, PING_TIMEOUT},
    status::refusal,
    tls::ClientTls,
};

/// Messages under way at a time: the answer to one is waited for while the next is sent, also over a long way.
const REQUESTS_AT_ONCE: usize = 8;

/// A way to the key holder. Cheap to clone; dials when there is something to ask, and again when the connection broke.
#[derive(Clone)]
pub struct KeyHolderClient {
    client: key_holder_client::KeyHolderClient<Channel>,
    address: String,
}

impl KeyHolderClient {
    /// The key holder of `connection`. Inside a tokio runtime; nothing is sent yet.
    ///
    /// # Errors
    /// Which file or field is wrong.
    pub fn new(connection: &Connection) -> Result<Self, FileError> {
        let address = connection.hub.clone();
        let wrong = || FileError {
            path: "connection.toml".into(),
            why: format!("keyholder: expected host:port, not {address:?}"),
        };
        let tls = ClientTls::read(&connection.ca, &connection.cert, &connection.key)?;
        let name = connection.server_name().ok_or_else(wrong)?.to_owned();
        let name = ServerName::try_from(name).map_err(|_| wrong())?;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| wrong())?;
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(connection.connect_timeout_seconds))
            .timeout(Duration::from_secs(connection.request_timeout_seconds))
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let dial = Dial { tls: TlsConnector::from(tls.0), hub: address.clone(), name };
        let channel = endpoint.connect_with_connector_lazy(dial);
        let client = key_holder_client::KeyHolderClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { client, address })
    }

    /// Where the key holder is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The data key of a version and the newest pseudonyms of `dataset`; without a version the newest, made when there is none.
    ///
    /// # Errors
    /// The key holder's refusal; [`Refusal::Unavailable`] when it cannot be reached, [`Refusal::NotFound`] when there is no such key
    /// any more.
    pub async fn keys(&self, dataset: &DatasetName, version: Option<u32>) -> Result<Newest, Refusal> {
        let asked = pb::KeysRequest { dataset: dataset.to_string(), data_key_version: version.unwrap_or(0) };
        let told = self.client.clone().keys(asked).await.map_err(|status| self.refusal(&status))?.into_inner();
        let (data_key, digest_key) = (Zeroizing::new(told.data_key), Zeroizing::new(told.digest_key));
        let bytes = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| malformed("a key has 32 bytes"));
        if version.is_some_and(|version| version != told.data_key_version) || told.data_key_version == 0 {
            return Err(malformed("it is of another version than the one asked for"));
        }
        let data = DataKey::from_bytes(told.data_key_version, bytes(&data_key)?, bytes(&digest_key)?);
        let check = Digest::from_bytes(bytes(&told.pseudonym_check)?);
        Ok(Newest { data, pseudonyms: Scheme { version: told.pseudonym_version, check } })
    }

    /// The pseudonyms of `identifiers`, in their order: message after message, some at a time.
    ///
    /// # Errors
    /// As [`Self::keys`].
    pub async fn pseudonyms(
        &self,
        dataset: &DatasetName,
        version: u32,
        identifiers: &Identifiers,
    ) -> Result<Vec<Subject>, Refusal> {
        let messages = messages(dataset, version, identifiers);
        let ask = |message: pb::Identifiers| async move {
            let count = message.lengths.len();
            let told = self.client.clone().pseudonymise(message).await.map_err(|status| self.refusal(&status))?;
            match told.into_inner().packed.as_chunks() {
                (pseudonyms, []) if pseudonyms.len() == count => Ok(pseudonyms.to_vec()),
                _ => Err(malformed("there are not as many pseudonyms as identifiers")),
            }
        };
        stream::iter(messages).map(ask).buffered(REQUESTS_AT_ONCE).try_concat().await
    }

    fn refusal(&self, status: &Status) -> Refusal {
        match refusal(status) {
            Refusal::Unavailable { what } => {
                let who = format!("the key holder at {}", self.address);
                Refusal::Unavailable { what: what.replacen("the hub", &who, 1) }
            }
            other => other,
        }
    }
}

fn malformed(why: &str) -> Refusal {
    Refusal::Malformed { document: "the key holder's answer".into(), why: why.into() }
}

/// Cuts a list into messages that the key holder takes.
fn messages(dataset: &DatasetName, version: u32, identifiers: &Identifiers) -> Vec<pb::Identifiers> {
    let empty = || pb::Identifiers { dataset: dataset.to_string(), version, lengths: Vec::new(), packed: Vec::new() };
    let (mut messages, mut message) = (Vec::new(), empty());
    for identifier in identifiers.iter() {
        let full = message.packed.len() + identifier.len() > IDENTIFIERS_BYTES_MAX;
        if (full && !message.lengths.is_empty()) || message.lengths.len() == IDENTIFIERS_MAX {
            messages.push(std::mem::replace(&mut message, empty()));
        }
        message.lengths.push(u32::try_from(identifier.len()).unwrap_or(u32::MAX));
        message.packed.extend_from_slice(identifier);
    }
    if !message.lengths.is_empty() {
        messages.push(message);
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be a bug: a list that is too long for one message and arrives cut short, or is refused.
    #[test]
    fn long_lists_go_in_messages_that_are_taken() {
        let dataset = "care".parse().unwrap();
        let list = |count: usize, bytes: usize| {
            let mut all = Identifiers::default();
            (0..count).for_each(|n| all.push_packed(&[&n.to_le_bytes()[..], &vec![7; bytes]].concat()));
            all
        };
        for (count, bytes, expected) in
            [(0, 0, 0), (1, 0, 1), (IDENTIFIERS_MAX, 0, 1), (IDENTIFIERS_MAX + 1, 0, 2), (100, 50_000, 5)]
        {
            let list = list(count, bytes);
            let messages = messages(&dataset, 1, &list);
            assert_eq!(messages.len(), expected, "{count} of {bytes}");
            let mut arrived = Vec::new();
            for message in &messages {
                let read = super::super::identifiers(message).unwrap();
                arrived.extend(read.iter().map(<[u8]>::to_vec));
            }
            assert_eq!(arrived, list.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
        }
    }
}
