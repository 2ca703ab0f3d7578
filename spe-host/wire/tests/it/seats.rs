//! Nobody takes the room of all: no member, and no stranger.

use std::time::Duration;

use rustls::version::TLS13;
use spe_wire::{HubClient, Seats};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    stub::Federation,
    tls::{ask, dial, nothing},
};

#[tokio::test]
async fn a_connection_beyond_the_seats_is_closed_and_seats_are_given_back() {
    let federation = Federation::found(1).await;
    let connection = federation.connection("anna");
    let first = HubClient::connect(&connection).await.unwrap();
    first.submit(nothing()).await.unwrap();
    assert!(ask(&connection).await.is_err(), "two connections on one seat");
    drop(first);
    let mut tries = 0;
    while ask(&connection).await.is_err() {
        tries += 1;
        assert!(tries < 100, "the seat was never given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn one_member_does_not_take_every_connection() {
    let federation = Federation::seating(Seats { connections_max: 5, connections_per_member_max: 2 }).await;
    let (anna, bob) = (federation.connection("anna"), federation.connection("bob"));
    let mut held = Vec::new();
    for _ in 0..2 {
        let hub = HubClient::connect(&anna).await.unwrap();
        hub.submit(nothing()).await.unwrap();
        held.push(hub);
    }
    assert!(ask(&anna).await.is_err(), "a member has more connections than one may have");
    ask(&bob).await.expect("anna's connections are not bob's");
    held.pop();
    let since = Instant::now();
    let regained = loop {
        if let Ok(hub) = HubClient::connect(&anna).await
            && hub.submit(nothing()).await.is_ok()
        {
            break hub;
        }
        assert!(since.elapsed() < Duration::from_secs(5), "the seat was never given back");
        sleep(Duration::from_millis(50)).await;
    };
    assert!(ask(&anna).await.is_err(), "one connection's end gave two seats back");
    drop((held, regained));
}

/// Whether the server closes the connection within the time that a silent one has, and some.
async fn closes(mut stream: impl AsyncReadExt + Unpin) -> bool {
    let mut read = Vec::new();
    timeout(Duration::from_secs(14), stream.read_to_end(&mut read)).await.is_ok()
}

#[tokio::test]
async fn who_does_not_begin_is_shown_the_door() {
    let federation = Federation::found(8).await;
    let silent = dial(&federation, &TLS13, Some("anna")).await.unwrap();
    let mut slow = dial(&federation, &TLS13, Some("anna")).await.unwrap();
    slow.write_all(b"PRI * HTTP/2.0").await.unwrap();
    slow.flush().await.unwrap();
    let quiet = HubClient::connect(&federation.connection("anna")).await.unwrap();
    let (silent, slow) = tokio::join!(closes(silent), closes(slow));
    assert!(silent, "a connection without a word is held");
    assert!(slow, "a connection with half a preface is held");
    quiet.submit(nothing()).await.expect("a client that asks late is none that does not begin");
}

#[tokio::test]
async fn silent_strangers_delay_a_member_by_seconds() {
    let federation = Federation::found(8).await;
    let mut strangers = Vec::new();
    for _ in 0..64 {
        strangers.push(TcpStream::connect(federation.address).await.unwrap());
    }
    // All of them are taken for handshakes now.
    sleep(Duration::from_millis(500)).await;
    ask(&federation.connection("anna")).await.expect("strangers kept a member out for five seconds");
}
