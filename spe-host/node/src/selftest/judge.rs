//! What an attack gave away, if anything.

use std::time::Duration;

use spe_kernel::{
    disclosure::NoisyOutput,
    fault::Fault,
    plan::{Choices, Plan},
    refusal::Refusal,
};

use super::{
    Verdict, Worlds,
    attacks::{Attack, Must},
    everywhere, spent,
    watch::{Outline, Seen},
    world::World,
};

/// How many scales of the noise a difference of three noisy sums may be off: for Laplace noise, with probability e⁻²⁰.
const SCALES: f64 = 60.0;

/// How often a question is asked that the machine fails to take.
const TRIES: u32 = 3;

impl Must {
    /// What must be seen, in words.
    const fn expected(self) -> &'static str {
        match self {
            Self::Add => "only its own share moves",
            Self::ChangeOneBlock => "only one block moves",
            Self::HideKeys => "no key of one person",
            Self::StayCharged => "one charge, all on time",
            Self::BeRefused => "refused, not charged",
        }
    }
}

/// What a world shows of an attack.
struct Shown {
    plan: Plan,
    rounds: Vec<Seen>,
    charged: u64,
}

impl Shown {
    /// A fault before anything was charged is the machine's, and no guest's: one without memory for a compiler, say.
    fn failed_before_the_charge(&self) -> bool {
        let fault = |seen: &Seen| matches!(seen.refusal, Some(Refusal::Internal { .. }));
        self.charged == 0 && self.rounds.iter().any(fault)
    }
}

/// Tries one attack, and says how long the slowest run of it took.
///
/// # Errors
/// What keeps it from being tried. A protection that does not hold is no error.
pub fn judge(worlds: &Worlds, attack: &Attack, choices: &Choices) -> Result<(Verdict, Duration), Fault> {
    let once = |world: &World| {
        let before = spent(world)?;
        let (plan, rounds) = world.ask(attack.module, choices)?;
        Ok(Shown { plan, rounds, charged: spent(world)?.pico().saturating_sub(before.pico()) })
    };
    let ask = |world: &World| {
        let mut shown: Shown = once(world)?;
        for _ in 1..TRIES {
            if !shown.failed_before_the_charge() {
                break;
            }
            shown = once(world)?;
        }
        Ok(shown)
    };
    let shown = everywhere(worlds, ask)?;
    let leak = leak(worlds, attack, &shown);
    let verdict = Verdict {
        attack: attack.name,
        tries: attack.tries,
        expected: attack.must.expected(),
        held: leak.is_none(),
        seen: leak.unwrap_or_else(|| "as expected".into()),
    };
    let ran = |seen: &Seen| {
        let times = seen.times?;
        Duration::try_from(times.ready_at?.duration_since(times.charged_before)).ok()
    };
    let slowest = shown.iter().flat_map(|s| &s.rounds).filter_map(ran).max().unwrap_or_default();
    Ok((verdict, slowest))
}

/// The first thing that should not be, in words.
fn leak(worlds: &Worlds, attack: &Attack, shown: &[Shown; 3]) -> Option<String> {
    let [with, without, alone] = shown;
    if with.charged != without.charged {
        return Some(format!("the charge differs: {} and {} pico", with.charged, without.charged));
    }
    if attack.must != Must::BeRefused
        && with.charged == 0
        && let Some(why) = unanswered(&with.rounds)
    {
        return Some(format!("not charged, {why}"));
    }
    let price = if attack.must == Must::BeRefused { 0 } else { with.plan.charge().pico() };
    if with.charged != price {
        return Some(format!("{} pico were charged, not {price}", with.charged));
    }
    if attack.must != Must::StayCharged
        && let Some(difference) = unlike(&with.rounds, &without.rounds)
    {
        return Some(difference);
    }
    if let Some(late) = shown.iter().find_map(|s| unpunctual(worlds, s)) {
        return Some(late);
    }
    match attack.must {
        Must::BeRefused => refused(&with.rounds),
        Must::StayCharged => shown.iter().find_map(|s| unanswered(&s.rounds)),
        Must::HideKeys => outputs(with).zip(outputs(without)).find_map(|(a, b)| same_keys(a, b)),
        Must::Add => unanswered(&with.rounds).or_else(|| added(outputs(with), outputs(without), outputs(alone))),
        Must::ChangeOneBlock => {
            unanswered(&with.rounds).or_else(|| outputs(with).zip(outputs(without)).find_map(|(a, b)| moved(a, b)))
        }
    }
}

fn outputs(shown: &Shown) -> impl Iterator<Item = &NoisyOutput> {
    shown.rounds.iter().filter_map(|seen| seen.answer.as_ref()).flat_map(|answer| &answer.outputs)
}

/// What differs between two worlds' messages, besides numbers and times. The one judge of it, for tests as well.
pub fn unlike(with: &[Seen], without: &[Seen]) -> Option<String> {
    if with.len() != without.len() {
        return Some(format!("{} and {} messages", with.len(), without.len()));
    }
    let mut pairs = with.iter().zip(without).map(|(a, b)| (Outline::of(a), Outline::of(b)));
    pairs.find(|(a, b)| a != b).map(|(a, b)| differing(&a, &b))
}

/// The first field that differs, in words.
fn differing(a: &Outline, b: &Outline) -> String {
    if (a.kind, a.bytes) != (b.kind, b.bytes) {
        return format!("{} of {} bytes and {} of {}", a.kind, a.bytes, b.kind, b.bytes);
    }
    if a.refusal != b.refusal {
        return format!("{:?} and {:?}", a.refusal, b.refusal);
    }
    if a.steps != b.steps {
        return format!("{:?} and {:?}", a.steps, b.steps);
    }
    format!("{:?} and {:?}", a.answer, b.answer)
}

fn unpunctual(worlds: &Worlds, shown: &Shown) -> Option<String> {
    let site = &worlds.with.site;
    let pace = &site.policy.release;
    let longest = pace.longest(&shown.plan, site.vault.dataset(shown.plan.dataset())?.schema()).ok()?;
    let late = shown.rounds.iter().filter_map(|seen| seen.times).find(|times| !times.punctual(pace, longest))?;
    Some(format!("it left {:?} after the charge, not at the first slot after {longest:?}", late.since_charge()))
}

fn refused(rounds: &[Seen]) -> Option<String> {
    match rounds {
        [Seen { refusal: Some(Refusal::ModuleRefused { .. }), times: None, .. }] => None,
        other => Some(format!("not refused before the charge: {:?}", other.iter().map(|s| s.kind).collect::<Vec<_>>())),
    }
}

/// A job that failed where it must not.
fn unanswered(rounds: &[Seen]) -> Option<String> {
    let refused = rounds.iter().find_map(|seen| seen.refusal.as_ref())?;
    Some(format!("refused: {refused}"))
}

/// Whether the sums with the target are those without, and those of the target alone, which no one may exceed.
fn added<'a>(
    with: impl Iterator<Item = &'a NoisyOutput>,
    without: impl Iterator<Item = &'a NoisyOutput>,
    alone: impl Iterator<Item = &'a NoisyOutput>,
) -> Option<String> {
    with.zip(without).zip(alone).enumerate().find_map(|(i, ((with, without), alone))| {
        let slack = SCALES * with.scale;
        let cells = with.cells.0.iter().zip(&without.cells.0).zip(&alone.cells.0);
        let off = cells.map(|((with, without), alone)| approx(*with - *without - *alone).abs()).fold(0.0, f64::max);
        if off > slack {
            return Some(format!("output {i}: others add {off:.0} more grid steps where the target is"));
        }
        exceeds(alone, slack, 1.0).map(|by| format!("output {i}: the target adds {by:.0} grid steps too many"))
    })
}

fn moved(with: &NoisyOutput, without: &NoisyOutput) -> Option<String> {
    let off = with.cells.0.iter().zip(&without.cells.0).map(|(a, b)| approx(*a - *b).abs()).fold(0.0, f64::max);
    let bound = approx(with.sensitivity.into());
    (off > bound + SCALES * with.scale)
        .then(|| format!("the mean over blocks moves by {off:.0} grid steps, not {bound:.0}"))
}

/// By how much the largest cell of an output exceeds its sensitivity.
fn exceeds(output: &NoisyOutput, slack: f64, times: f64) -> Option<f64> {
    let largest = output.cells.0.iter().map(|cell| approx(*cell).abs()).fold(0.0, f64::max);
    let over = largest - times * approx(output.sensitivity.into());
    (over > slack).then_some(over)
}

/// Keys with their noisy counts, a key and a count in turn.
fn same_keys(with: &NoisyOutput, without: &NoisyOutput) -> Option<String> {
    let keys = |output: &NoisyOutput| output.cells.0.iter().step_by(2).copied().collect::<Vec<_>>();
    (keys(with) != keys(without)).then(|| "other keys are released where the target is".to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "for comparison with a slack")]
const fn approx(grid: i128) -> f64 {
    grid as f64
}
