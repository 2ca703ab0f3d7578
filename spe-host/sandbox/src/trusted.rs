//! The one place where bytes become machine code.
#![allow(unsafe_code, reason = "deserialising trusts its input; everything that makes it trustworthy is named below")]

use wasmtime::{Engine, Module};

/// What this host's own compiler made: straight from the compiling process, or from the cache with a valid seal.
pub(crate) struct Artifact(Vec<u8>);

impl Artifact {
    /// Vouches that `bytes` came from [`crate::compile_child`], unchanged since.
    pub(crate) const fn vouched(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The module, ready to run.
    ///
    /// # Errors
    /// Another engine version or other settings, or a module that does not fit the engine's limits.
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Module> {
        // # Safety
        // `Module::deserialize` must be given what `Engine::precompile_module` returned, unmodified. `vouched` is called
        // in two places: with what the compiling process, which runs this same program, wrote to a file that only this
        // process named and owns; and with what the cache held beneath a BLAKE3 tag made with this node's secret key, over
        // exactly these bytes and the name they are filed under. Who can forge either can already replace this program.
        unsafe { Module::deserialize(engine, &self.0) }
    }
}
