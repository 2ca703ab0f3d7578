//! A key holder in a folder, served from this process, and the nodes that it knows.

use std::{fs, path::Path};

use spe_kernel::{audit::Person, dsse::PublicKey, keys::Identifiers};
use spe_keyholder::{Config, init, invite, serve};
use spe_wire::{Connection, keyholder::KeyHolderClient};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Whoever types the key holder's commands.
pub(crate) fn operator() -> Person {
    Person { name: "account kim".into(), key: None, identity: None }
}

pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) key: PublicKey,
    config: Config,
    stop: Option<oneshot::Sender<()>>,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}").parse().unwrap();
        fs::create_dir(dir.path().join("keyholder")).unwrap();
        let (config, key) = init(&dir.path().join("keyholder"), &["127.0.0.1".into()], listen).unwrap();
        let config = Config { dir: dir.path().join("keyholder"), ..config };
        let mut place = Self { dir, key, config, stop: None };
        place.start().await;
        place
    }

    pub(crate) fn home(&self) -> &Path {
        &self.config.dir
    }

    /// Starts, or starts again.
    pub(crate) async fn start(&mut self) {
        drop(self.stop.take());
        while tokio::net::TcpStream::connect(self.config.listen).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let config = self.config.clone();
        tokio::spawn(async move { serve(&config, async { drop(stopped.await) }).await.unwrap() });
        self.stop = Some(stop);
        while tokio::net::TcpStream::connect(self.config.listen).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn invite(&self, node: &str, folder: &str) -> Connection {
        let out = self.dir.path().join(folder);
        fs::create_dir(&out).unwrap();
        invite(self.home(), &node.parse().unwrap(), &out, &operator()).unwrap();
        Connection::read(&out.join("connection.toml")).unwrap()
    }

    pub(crate) fn node(&self, node: &str) -> KeyHolderClient {
        KeyHolderClient::new(&self.invite(node, node)).unwrap()
    }
}

pub(crate) fn named(people: &[&str]) -> Identifiers {
    let mut all = Identifiers::default();
    for person in people {
        all.push(person.as_bytes());
        all.close();
    }
    all
}

/// Whether any file below `dir` holds these bytes.
pub(crate) fn holds(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return holds(&path, bytes);
        }
        fs::read(&path).unwrap_or_default().windows(bytes.len()).any(|window| window == bytes)
    })
}
