//! What went wrong inside a node. A fault never leaves it.

use std::fmt;

/// An internal failure: what was being done, and the cause's own words.
///
/// Not `Serialize` and not [`crate::disclosure::MayLeave`]: the world outside sees
/// [`crate::refusal::Refusal::Internal`] with a random id, the operator's log sees this.
#[derive(Debug)]
pub struct Fault {
    doing: &'static str,
    cause: String,
}

impl Fault {
    /// A fault that arose while `doing` something.
    pub fn new(doing: &'static str, cause: impl fmt::Display) -> Self {
        Self { doing, cause: cause.to_string() }
    }

    /// For `map_err`: `file.read(..).map_err(Fault::while_("reading the journal"))`.
    pub fn while_<E: fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |cause| Self::new(doing, cause)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.cause)
    }
}

impl std::error::Error for Fault {}
