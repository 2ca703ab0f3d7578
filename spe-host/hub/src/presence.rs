//! Which nodes are connected, and who waits for news. In memory: after a restart nodes come again by themselves.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use spe_kernel::{
    ids::{JobId, NodeName},
    refusal::Refusal,
};
use tokio::sync::{broadcast, watch};

/// News that a slow watcher may be behind with; a later one looks anew.
const NEWS_MAX: usize = 1_024;

/// What has changed.
#[derive(Debug, Clone)]
pub(crate) enum News {
    Job(JobId),
    Node(NodeName),
}

/// Who is here.
#[derive(Clone)]
pub(crate) struct Presence {
    /// One bell a node: it rings for new work, and is dropped when the node's next connection replaces this one.
    bells: Arc<Mutex<HashMap<NodeName, watch::Sender<()>>>>,
    news: broadcast::Sender<News>,
}

impl Presence {
    pub(crate) fn new() -> Self {
        Self { bells: Arc::default(), news: broadcast::Sender::new(NEWS_MAX) }
    }

    fn bells(&self) -> MutexGuard<'_, HashMap<NodeName, watch::Sender<()>>> {
        // A map of bells is whole after every statement; nothing that panics leaves it half changed.
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `node` is connected until the attendance is dropped. An earlier attendance of the node ends.
    pub(crate) fn attend(&self, node: NodeName) -> Attendance {
        let (bell, ear) = watch::channel(());
        self.bells().insert(node.clone(), bell);
        self.tell(News::Node(node.clone()));
        Attendance { presence: self.clone(), node, ear }
    }

    pub(crate) fn is_here(&self, node: &NodeName) -> bool {
        self.bells().contains_key(node)
    }

    /// Rings for work.
    pub(crate) fn ring(&self, nodes: &[NodeName]) {
        let bells = self.bells();
        for bell in nodes.iter().filter_map(|node| bells.get(node)) {
            bell.send_replace(());
        }
    }

    /// Rings everywhere.
    pub(crate) fn ring_all(&self) {
        for bell in self.bells().values() {
            bell.send_replace(());
        }
    }

    /// Tells the watchers, if there are any.
    pub(crate) fn tell(&self, news: News) {
        // Without watchers there is nobody to tell, which is no error.
        let _ = self.news.send(news);
    }

    pub(crate) fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }
}

/// A node's open connection.
pub(crate) struct Attendance {
    presence: Presence,
    node: NodeName,
    ear: watch::Receiver<()>,
}

impl Attendance {
    /// Waits for the bell.
    ///
    /// # Errors
    /// Another connection of the same node took this one's place.
    pub(crate) async fn rung(&mut self) -> Result<(), Refusal> {
        let what = || format!("this connection of node {} (another took its place)", self.node);
        self.ear.changed().await.map_err(|_| Refusal::Unavailable { what: what() })
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let mut bells = self.presence.bells();
        if bells.get(&self.node).is_some_and(|bell| bell.subscribe().same_channel(&self.ear)) {
            bells.remove(&self.node);
            drop(bells);
            self.presence.tell(News::Node(self.node.clone()));
        }
    }
}
