//! The key holder: makes pseudonyms and keeps the keys that no node may keep (Regulation (EU) 2025/327, Art. 66(3)).
//!
//! It sees identifiers and never data; a node sees data and never the key of its pseudonyms. It has a folder, a process, an operator and a
//! certificate authority of its own (`docs/keyholder.md`).

mod config;
mod desk;
mod founding;
mod service;
mod store;

pub use config::{Config, FILE};
pub use desk::{Ordered, destroy};
pub use founding::{dismiss, import, init, invite};
pub use service::serve;
pub use store::{Act, Asked, Certificate, DatasetKeys, KeyState, Rotated, Store, StoreError, Which};
