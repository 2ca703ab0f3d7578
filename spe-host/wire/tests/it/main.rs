//! Integration tests of the wire.
mod generated;
