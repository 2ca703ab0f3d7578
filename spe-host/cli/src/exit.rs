//! Exit codes: the class of what went wrong (`docs/operations.md`, "Exit codes").

use std::error::Error;

use spe_hub::NotDone;
use spe_kernel::{
    keys::KeyError,
    receipt::ReceiptError,
    refusal::{Class, Refusal},
    tlog::LogError,
};
use spe_keyholder::StoreError;
use spe_vault::RegisterError;
use spe_wire::{ConnectError, InvitationError};

use crate::output::{Shown, Waits};

/// A refusal of the command itself, in words of its own.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub(crate) struct Refused {
    class: Class,
    words: String,
}

impl Refused {
    /// The request is wrong.
    pub(crate) fn wrong(words: impl Into<String>) -> anyhow::Error {
        Self { class: Class::Invalid, words: words.into() }.into()
    }

    /// There is no such thing.
    pub(crate) fn missing(words: impl Into<String>) -> anyhow::Error {
        Self { class: Class::NotFound, words: words.into() }.into()
    }

    /// A signature or certificate is not that of who is trusted.
    pub(crate) fn untrusted(words: impl Into<String>) -> anyhow::Error {
        Self { class: Class::Unauthenticated, words: words.into() }.into()
    }

    /// It is to be tried again later.
    pub(crate) fn waits(words: impl Into<String>) -> anyhow::Error {
        Self { class: Class::Unavailable, words: words.into() }.into()
    }

    /// There is nothing to be done.
    pub(crate) fn state(words: impl Into<String>) -> anyhow::Error {
        Self { class: Class::Precondition, words: words.into() }.into()
    }
}

/// The refusal in `error`, if it is one that may leave.
pub(crate) fn refusal(error: &anyhow::Error) -> Option<&Refusal> {
    error.chain().find_map(|cause| {
        let of_hub = || match cause.downcast_ref()? {
            NotDone::Refused(refusal) => Some(refusal),
            NotDone::File(_) => None,
        };
        let of_connection = || match cause.downcast_ref()? {
            ConnectError::Refused(refusal) => Some(refusal),
            ConnectError::File(_) => None,
        };
        let shown = || cause.downcast_ref().map(|Shown(refusal)| refusal);
        cause.downcast_ref().or_else(of_hub).or_else(of_connection).or_else(shown)
    })
}

/// The class of `error`, if it has one: that of the refusal in it, else of the first cause that has one, whatever the words around it are.
pub(crate) fn class(error: &anyhow::Error) -> Option<Class> {
    refusal(error).map(Refusal::class).or_else(|| error.chain().find_map(of))
}

/// The class of an error that is no [`Refusal`]; none where a file or a program is to blame.
fn of(cause: &(dyn Error + 'static)) -> Option<Class> {
    if let Some(Refused { class, .. }) = cause.downcast_ref() {
        return Some(*class);
    }
    if cause.is::<Waits>() {
        return Some(Class::Unavailable);
    }
    if cause.is::<InvitationError>() {
        return Some(Class::Invalid);
    }
    let (stored, registered) = (cause.downcast_ref::<StoreError>(), cause.downcast_ref::<RegisterError>());
    match (stored, registered) {
        (Some(StoreError::Gone(_)), _) | (_, Some(RegisterError::NoDataset { .. })) => return Some(Class::NotFound),
        (Some(StoreError::Wrong(_)), _) | (_, Some(RegisterError::KeyColumns { .. })) => return Some(Class::Invalid),
        (_, Some(RegisterError::Keys(keys))) => return Some(of_keys(keys)),
        _ => {}
    }
    cause.downcast_ref().map(of_keys).or_else(|| of_proof(cause))
}

const fn of_keys(error: &KeyError) -> Class {
    match error {
        KeyError::Away(_) => Class::Unavailable,
        KeyError::Gone(_) => Class::NotFound,
        KeyError::Refused(_) => Class::Denied,
    }
}

/// What is no proof is a wrong request; what proves something else is not trusted.
fn of_proof(cause: &(dyn Error + 'static)) -> Option<Class> {
    let of_log = |error: &LogError| match error {
        LogError::Malformed { .. } => Class::Invalid,
        _ => Class::Unauthenticated,
    };
    let of_receipt = |error: &ReceiptError| match error {
        ReceiptError::Log(error) => of_log(error),
        ReceiptError::NotOfARelease(_) | ReceiptError::TooLong(_) => Class::Invalid,
        _ => Class::Unauthenticated,
    };
    cause.downcast_ref().map(of_receipt).or_else(|| cause.downcast_ref().map(of_log))
}
