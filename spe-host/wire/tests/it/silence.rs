//! A peer that is silent, because its machine or the network between died, is noticed by both ends.

use std::{future::pending, net::SocketAddr, time::Duration};

use spe_kernel::{disclosure::Catalogue, dsse::SecretKey, refusal::Refusal};
use spe_wire::{HubClient, Submission, encode};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::stub::Federation;

/// Forwards to `hub` until it is told to freeze; then it forwards nothing and closes nothing.
async fn network(hub: SocketAddr, frozen: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (mut near, mut far, mut frozen) = (near, TcpStream::connect(hub).await.unwrap(), frozen.clone());
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = async { drop(frozen.wait_for(|frozen| *frozen).await) } => pending().await,
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn both_ends_notice_silence() {
    let federation = Federation::found(1).await;
    let (freeze, frozen) = watch::channel(false);
    let mut through = federation.connection("anna");
    through.hub = network(federation.address, frozen).await.to_string();
    let hub = HubClient::connect(&through).await.unwrap();
    let key = SecretKey::from_seed(&[7; 32]).public();
    let catalogue = Catalogue { node: "north".parse().unwrap(), key, access_bodies: Vec::new(), datasets: Vec::new() };
    let mut work = hub.attend(encode(&catalogue)).await.unwrap();
    let idle = timeout(Duration::from_secs(6), work.next()).await;
    assert!(idle.is_err(), "an idle stream must live: {}", idle.unwrap().is_ok());
    let since = Instant::now();
    freeze.send_replace(true);
    let lost = timeout(Duration::from_secs(20), work.next()).await.expect("the node never noticed");
    assert!(matches!(lost, Err(Refusal::Unavailable { .. })), "silence was taken for something else");
    // The hub's only seat is free again once the hub has noticed as well.
    let direct = federation.connection("anna");
    let nothing = || Submission { job: Vec::new(), permit: Vec::new() };
    loop {
        if let Ok(hub) = HubClient::connect(&direct).await
            && hub.submit(nothing()).await.is_ok()
        {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "the hub never noticed");
        sleep(Duration::from_millis(100)).await;
    }
}
