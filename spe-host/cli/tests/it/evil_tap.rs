//! Somebody on the way who cannot read but counts: a proxy that notes direction, length and time of every TLS record.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// Which way a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToHub,
    ToNode,
}

/// One TLS record, as anybody on the way can tell it.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    pub way: Way,
    pub bytes: usize,
    pub at: Timestamp,
}

/// What passed one way.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Without what TLS adds, so that it does not matter how writes were gathered into records.
    pub bytes: usize,
    pub records: usize,
}

/// What TLS 1.3 adds to each record: the header is not counted, the kind is one byte and the tag sixteen.
pub const RECORD_OVERHEAD: usize = 17;
/// A connection that nothing has passed over for so long is done.
const QUIET: Duration = Duration::from_millis(150);
#[derive(Clone, Default)]
pub struct Tap {
    records: Arc<Mutex<Vec<Record>>>,
}

impl Tap {
    /// Passes everything on to `hub`, and counts.
    pub async fn listen(self, listener: TcpListener, hub: SocketAddr) {
        while let Ok((node, _)) = listener.accept().await {
            let (node_reads, node_writes) = node.into_split();
            let (hub_reads, hub_writes) = TcpStream::connect(hub).await.unwrap().into_split();
            tokio::spawn(self.clone().pass(node_reads, hub_writes, Way::ToHub));
            tokio::spawn(self.clone().pass(hub_reads, node_writes, Way::ToNode));
        }
    }

    async fn pass(self, mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, way: Way) {
        let mut header = [0; 5];
        while from.read_exact(&mut header).await.is_ok() {
            let bytes = usize::from(u16::from_be_bytes([header[3], header[4]]));
            let mut body = vec![0; bytes];
            if from.read_exact(&mut body).await.is_err() {
                break;
            }
            self.records.lock().unwrap().push(Record { way, bytes, at: Timestamp::now() });
            if to.write_all(&[&header[..], &body].concat()).await.is_err() {
                break;
            }
        }
        to.shutdown().await.ok();
    }

    /// What passed since the last time, once nothing passes any more.
    pub async fn taken(&self) -> Vec<Record> {
        let mut count = usize::MAX;
        while count != self.records.lock().unwrap().len() {
            count = self.records.lock().unwrap().len();
            sleep(QUIET).await;
        }
        std::mem::take(&mut *self.records.lock().unwrap())
    }
}

pub fn flow(records: &[Record], way: Way) -> Flow {
    let all = || records.iter().filter(|record| record.way == way);
    Flow { bytes: all().map(|r| r.bytes - RECORD_OVERHEAD.min(r.bytes)).sum(), records: all().count() }
}

/// When the node sent something first from `leaves` on.
pub fn told(records: &[Record], leaves: Timestamp) -> Option<Timestamp> {
    records.iter().find(|record| record.way == Way::ToHub && record.at >= leaves).map(|record| record.at)
}
