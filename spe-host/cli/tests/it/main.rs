//! The whole of `spe`, as its users meet it: real processes, real TLS, real data, real crashes.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::type_complexity,
    reason = "tests fail by panicking"
)]

mod agreements;
mod audit;
mod canary;
mod clock;
mod codes;
mod commands;
mod corridor;
mod crowded;
mod endings;
mod evil;
mod evil_guests;
mod evil_late;
mod evil_ledger;
mod evil_long;
mod evil_power;
mod evil_rows;
mod evil_selftest;
mod evil_tap;
mod evil_wire;
mod exact;
mod federation;
mod flipped;
mod governance;
mod keyholder;
mod kinds;
mod login;
mod observable;
mod officers;
mod one_run;
mod operator;
mod optout;
mod optout_categories;
mod optout_desk;
mod paid;
mod place;
mod question;
mod receipts;
mod rolled_back;
mod samples;
mod scopes;
mod seeded;
mod standing;
