//! Refusals as gRPC statuses, and back.

use std::error::Error;

use spe_kernel::{disclosure, refusal::Refusal};
use tonic::{Code, Status};

/// A refusal beyond this travels as text only: HTTP/2 headers are limited to 16 KiB.
const DETAILS_BYTES_MAX: usize = 4 << 10;
/// Longest message of a status, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// The status of `refusal`: code by its class, the refusal itself in the details.
pub(crate) fn status(refusal: &Refusal) -> Status {
    let code = Code::from_i32(refusal.class().codes().1);
    let message: String = refusal.to_string().chars().take(MESSAGE_CHARS_MAX).collect();
    match serde_json::to_vec(refusal) {
        Ok(json) if json.len() <= DETAILS_BYTES_MAX => Status::with_details(code, message, json.into()),
        _ => Status::new(code, message),
    }
}

/// The refusal in `status`; what did not come from our own code is told apart by its gRPC code.
pub(crate) fn refusal(status: &Status) -> Refusal {
    if let Ok(refusal) = disclosure::arrive(status.details()) {
        return refusal;
    }
    let why = told(status);
    match status.code() {
        // `Unknown` and `Internal` are also what tonic makes of a connection that breaks halfway.
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded => unreachable(&why),
        Code::Internal if status.source().is_some() => unreachable(&why),
        Code::OutOfRange | Code::ResourceExhausted | Code::InvalidArgument => {
            Refusal::Malformed { document: "the message".into(), why }
        }
        Code::NotFound => Refusal::NotFound { what: why },
        Code::PermissionDenied | Code::Unauthenticated => {
            Refusal::NotAllowed { who: "this certificate".into(), what: why }
        }
        Code::Unimplemented => {
            Refusal::Malformed { document: "the request".into(), why: "the hub runs another version".into() }
        }
        _ => Refusal::Internal { id: why },
    }
}

pub(crate) fn unreachable(why: &str) -> Refusal {
    Refusal::Unavailable { what: format!("the hub ({why})") }
}

/// The status with its causes: tonic says "transport error", the cause says "certificate unknown".
fn told(status: &Status) -> String {
    let message = if status.message().is_empty() { status.code().description() } else { status.message() };
    let mut told = message.to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        cause = error.source();
    }
    told.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_wire() {
        for kept in
            [Refusal::Cancelled, Refusal::NotFound { what: "job x".into() }, Refusal::Internal { id: "7".into() }]
        {
            let status = status(&kept);
            assert_eq!(i32::from(status.code()), kept.class().codes().1);
            assert_eq!(refusal(&status), kept);
        }
    }

    #[test]
    fn a_huge_refusal_keeps_its_class() {
        let huge = Refusal::PlanUnfit { why: "x".repeat(1 << 20) };
        let status = status(&huge);
        assert!(status.details().is_empty() && status.message().len() <= 4 * MESSAGE_CHARS_MAX);
        assert_eq!(refusal(&status).class(), huge.class());
    }

    #[test]
    fn strange_statuses_are_refusals_too() {
        assert!(matches!(refusal(&Status::unavailable("gone")), Refusal::Unavailable { .. }));
        assert!(matches!(refusal(&Status::data_loss("?")), Refusal::Internal { .. }));
        assert!(matches!(refusal(&Status::out_of_range("too long")), Refusal::Malformed { .. }));
    }
}
