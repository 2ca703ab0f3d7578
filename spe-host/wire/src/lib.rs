//! The wire between researchers, hub and nodes: the only door to tonic, prost and rustls.
//!
//! What a node sends is made by [`encode`], which accepts [`MayLeave`](spe_kernel::disclosure::MayLeave) types only.
//! What arrives is checked against [`limits`] before anybody reads it. Who calls is known by certificate: every
//! connection is mutual TLS 1.3. The hub implements [`Service`] and calls [`serve`]; everyone else is a [`HubClient`].

pub mod client;
mod connection;
mod desk;
mod door;
mod file;
mod frame;
pub mod governance;
mod invitation;
pub mod keyholder;
pub mod limits;
mod line;
pub mod pki;
pub mod request;
mod seats;
pub mod server;
pub mod service;
mod status;
pub mod tls;
pub mod view;
mod witness;

/// Generated from `proto/spe.proto`; `tests/it/generated.rs` keeps it fresh.
#[path = "gen/spe.v1.rs"]
#[allow(clippy::all, clippy::restriction, missing_docs, unreachable_pub, reason = "generated")]
#[rustfmt::skip]
mod pb;

/// Generated from `proto/keyholder.proto`; likewise.
#[path = "gen/spe.keyholder.v1.rs"]
#[allow(clippy::all, clippy::restriction, missing_docs, unreachable_pub, reason = "generated")]
#[rustfmt::skip]
mod pb_keyholder;

pub use client::{ConnectError, HubClient, Incoming};
pub use connection::Connection;
pub use file::{FileError, write_public, write_secret};
pub use frame::{Frame, Report, encode};
pub use invitation::{Invitation, InvitationError, Token, token_hash};
pub use seats::Seats;
pub use server::{listen, serve};
pub use service::{
    Assignment, EnrolRequest, Enrolled, Feed, NodeCatalogue, PassedOn, Peer, Ruling, Service, SignedAnswer, Submission,
};
