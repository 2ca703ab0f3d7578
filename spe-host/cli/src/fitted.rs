//! What a module with rounds came to: its parameters by name, before the sums that it made them of.

use std::collections::BTreeMap;

use spe_wire::view::{Parameter, Rounds};

use crate::{
    chart::{escape, push},
    show::{Table, plain},
};

/// A state of this name and another's is that one as the last round alone has it: an average over rounds stands beside.
const LAST: &str = "last_";
/// Parameters that a terminal shows; `--json` has all.
const LINES_MAX: usize = 60;

/// A fitted parameter.
#[derive(Debug, PartialEq)]
struct Fitted<'a> {
    name: &'a str,
    value: f64,
    /// The number of the last round alone, where the module tells it besides.
    last: Option<f64>,
}

/// One line for each parameter; `last_x` stands beside `x`, and alone if there is no `x`.
fn fitted(parameters: &[Parameter]) -> Vec<Fitted<'_>> {
    let values: BTreeMap<_, _> = parameters.iter().map(|p| (p.name.as_str(), p.value)).collect();
    let is_beside = |p: &&Parameter| p.name.strip_prefix(LAST).is_some_and(|of| values.contains_key(of));
    let last = |name: &str| values.get(format!("{LAST}{name}").as_str()).copied();
    let lines = parameters.iter().filter(|p| !is_beside(p));
    lines.map(|p| Fitted { name: &p.name, value: p.value, last: last(&p.name) }).collect()
}

/// How many rounds made the parameters, and what they are not.
fn after(rounds: Option<Rounds>) -> String {
    let rounds = rounds.map(|r| format!("after {} of {} rounds; ", r.done, r.of)).unwrap_or_default();
    format!("{rounds}noisy, without intervals")
}

/// The parameters, for a terminal.
pub(crate) fn text(parameters: &[Parameter], rounds: Option<Rounds>) -> String {
    let lines = fitted(parameters);
    let beside = lines.iter().any(|line| line.last.is_some());
    let mut table = if beside {
        Table::new(["parameter", "value", "last round alone"])
    } else {
        Table::new(["parameter", "value", ""])
    };
    for Fitted { name, value, last } in lines.iter().take(LINES_MAX) {
        let last = if beside { last.map_or_else(|| "–".into(), plain) } else { String::new() };
        table.row([(*name).to_owned(), plain(*value), last]);
    }
    let mut text = format!("parameters ({})\n{}", after(rounds), table.render());
    if lines.len() > LINES_MAX {
        text.push_str(&format!("  … and {} more; --json has all\n", lines.len() - LINES_MAX));
    }
    text
}

/// The parameters, for a page.
pub(crate) fn html(body: &mut String, parameters: &[Parameter], rounds: Option<Rounds>) {
    let lines = fitted(parameters);
    let beside = lines.iter().any(|line| line.last.is_some());
    let head = if beside { "<th class=n>last round alone</th>" } else { "" };
    push(
        body,
        format_args!(
            "<h3>parameters <span>{}</span></h3><div class=wide><table>\
             <tr><th>parameter</th><th class=n>value</th>{head}</tr>",
            after(rounds)
        ),
    );
    for Fitted { name, value, last } in &lines {
        push(body, format_args!("<tr><th>{}</th><td class=n>{}</td>", escape(name), plain(*value)));
        if beside {
            push(body, format_args!("<td class=n>{}</td>", last.map_or_else(|| "–".into(), plain)));
        }
        body.push_str("</tr>");
    }
    body.push_str("</table></div>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, value: f64) -> Parameter {
        Parameter { name: name.into(), value }
    }

    /// What would be a bug: a coefficient and its working copy as two parameters, or one that is not shown at all.
    #[test]
    fn a_parameter_of_the_last_round_stands_beside_the_one_it_belongs_to() {
        let state = [named("people", 9.0), named("last_age", 1.0), named("age", 2.0), named("last_seen", 4.0)];
        let line = |name, value, last| Fitted { name, value, last };
        let expected = [line("people", 9.0, None), line("age", 2.0, Some(1.0)), line("last_seen", 4.0, None)];
        assert_eq!(fitted(&state), expected);
        let shown = text(&state, Some(Rounds { done: 2, of: 3 }));
        assert!(shown.starts_with("parameters (after 2 of 3 rounds"), "{shown}");
        assert!(!shown.contains("last_age") && shown.contains("last round alone"), "{shown}");
    }

    #[test]
    fn a_module_without_averages_has_one_column() {
        let mut body = String::new();
        html(&mut body, &[named("age_1", -0.0)], None);
        assert!(!body.contains("last round") && body.contains("<td class=n>0.00000</td>"), "{body}");
    }
}
