//! What must hold in every permit, besides each field's own form.

use super::{Article, PermitBody, Status};
use crate::{
    document::malformed,
    ids::{ColumnName, TableName},
    purpose::check_purposes,
    refusal::Refusal,
};

pub(super) fn body(body: &PermitBody) -> Result<(), Refusal> {
    line(body)?;
    period(body)?;
    check_purposes(&body.purpose.article53, body.applicant_body)?;
    opt_outs(body)?;
    super::terms::check_persons(&body.persons).map_err(malformed::<PermitBody>)?;
    data(body)?;
    request(body)
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(malformed::<PermitBody>(why))
}

fn unlawful<T>(article: &str, why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Unlawful { article: article.into(), why: why.into() })
}

fn line(body: &PermitBody) -> Result<(), Refusal> {
    let fresh = body.number == body.original;
    match (body.status, &body.replaces) {
        (Status::Granted, None) if fresh => Ok(()),
        (Status::Granted, _) => wrong(
            "one with status = \"granted\" is the first of its line: original is its own number, and it replaces none",
        ),
        (_, Some(replaced)) if !fresh && *replaced != body.number => Ok(()),
        _ => wrong(
            "one that is amended or renewed has a new number, names in original the first permit of its line, and in replaces the last",
        ),
    }
}

fn period(body: &PermitBody) -> Result<(), Refusal> {
    if body.valid_from >= body.valid_until {
        return wrong("valid_from is not before valid_until");
    }
    if body.valid_until > PermitBody::latest_end(body.valid_from) {
        return unlawful("Art. 68(12)", "a permit is valid for at most 10 years, and once renewed for 10 more at most");
    }
    Ok(())
}

fn opt_outs(body: &PermitBody) -> Result<(), Refusal> {
    match &body.opt_out_exception {
        Some(exception) if exception.national_law.trim().is_empty() || exception.reason.trim().is_empty() => {
            wrong("opt_out_exception names the national law that allows it, and the reason")
        }
        Some(_) if body.purposes().any(|p| !p.is_reserved() && !p.is_research()) => unlawful(
            "Art. 71(4)",
            "an exception from opt-outs is for the purposes (a) to (c) and for scientific research, (e), only",
        ),
        _ => Ok(()),
    }
}

fn data(body: &PermitBody) -> Result<(), Refusal> {
    let column = |name: &&String| match name.split_once('.') {
        Some((table, column)) => table.parse::<TableName>().is_err() || column.parse::<ColumnName>().is_err(),
        None => true,
    };
    if let Some(stray) = body.data.iter().flat_map(|d| &d.columns).find(column) {
        return wrong(format!("data.columns has {stray:.64?}; a column is written table.column"));
    }
    for (i, one) in body.data.iter().enumerate() {
        if one.time_range.is_some_and(|range| range.is_empty()) {
            return wrong(format!(
                "data.time_range of dataset {}: it has from, until, or both, and from is before until",
                one.dataset
            ));
        }
        let clash = |other: &&super::PermitData| other.meets(one) && other.time_range != one.time_range;
        if let Some(other) = body.data.iter().skip(i + 1).find(clash) {
            let why =
                format!("two entries of data on one table of dataset {} have different time ranges", other.dataset);
            return wrong(why);
        }
    }
    Ok(())
}

fn request(body: &PermitBody) -> Result<(), Refusal> {
    match body.article {
        Article::Permit if !body.plans.is_empty() => wrong("plans are what a data request approves (article = 69)"),
        Article::Request if body.plans.is_empty() => {
            wrong("a data request (article = 69) approves plans, by digest, and names none")
        }
        Article::Request if body.data.iter().any(|d| d.pseudonymised) => unlawful(
            "Art. 69",
            "the answer to a data request is anonymised, and nobody has access to pseudonymised data for it: data.pseudonymised is false",
        ),
        _ => Ok(()),
    }
}
