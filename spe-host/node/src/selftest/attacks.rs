//! The attacks: hostile guests of `guest-sdk/evil`, what each tries, and how it is asked.

use spe_kernel::plan::{Choices, FUEL_DEFAULT};
use spe_kernel::units::{Loss, Measure};

/// What an answer to an attack must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Must {
    /// The sums are those of the others, and what the target adds alone.
    Add,
    /// One block changes, whose share is bounded.
    ChangeOneBlock,
    /// Keys that one person alone has are not released.
    HideKeys,
    /// The charge is made once, and the state is a function of released sums.
    StayCharged,
    /// The job is refused before anything is charged.
    BeRefused,
}

/// A hostile guest.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// Its name in `guest-sdk/evil`.
    pub name: &'static str,
    /// What it tries.
    pub tries: &'static str,
    /// Its module.
    pub module: &'static [u8],
    /// Fuel for one data subject that it needs for its attack.
    pub fuel: u64,
    /// What must come of it.
    pub must: Must,
}

impl Attack {
    /// How it is asked for `loss`; another `attempt` is another question.
    pub fn choices(&self, loss: Loss, attempt: u32) -> Choices {
        let loss = if self.must == Must::HideKeys { loss.with_delta_atto(KEYS_DELTA_ATTO) } else { loss };
        Choices { attempt, fuel_per_subject: self.fuel, ..Choices::new(loss) }
    }

    /// The attack of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|attack| attack.name == name)
    }
}

/// 10⁻⁶.
const KEYS_DELTA_ATTO: u64 = 1_000_000_000_000;

macro_rules! attack {
    ($name:literal, $must:ident, $fuel:expr, $tries:literal) => {
        Attack {
            name: $name,
            tries: $tries,
            module: include_bytes!(concat!("../../../../guest-sdk/evil/modules/", $name, ".wasm")),
            fuel: $fuel,
            must: Must::$must,
        }
    };
}

/// All attacks.
pub const ALL: &[Attack] = &[
    attack!("spin-if-target", Add, FUEL_DEFAULT, "tell by the time of the answer"),
    attack!("remember-static", Add, FUEL_DEFAULT, "remember in statics and on the heap"),
    attack!("remember-memory", Add, FUEL_DEFAULT, "remember in corners of memory"),
    attack!("remember-stack", Add, FUEL_DEFAULT, "remember in a global, by trapping"),
    attack!("remember-wasi", Add, FUEL_DEFAULT, "remember in descriptors and entropy"),
    attack!("trap-if-target", Add, FUEL_DEFAULT, "tell by an error"),
    attack!("log-if-target", Add, FUEL_DEFAULT, "print, and exit"),
    attack!("grow-if-target", Add, 1_000_000, "take all memory"),
    attack!("overrun", Add, 1_000_000, "answer more than was asked"),
    attack!("nan-payload", Add, FUEL_DEFAULT, "hide text in numbers that are none"),
    attack!("low-bits", Add, FUEL_DEFAULT, "hide text below the noise"),
    attack!("huge-if-target", Add, FUEL_DEFAULT, "answer far too large numbers"),
    attack!("hash-memory", Add, 2_000_000, "tell by bytes of others in memory"),
    attack!("read-neighbours", Add, 8_000_000, "find others' text in memory"),
    attack!("clock-entropy", Add, FUEL_DEFAULT, "read clocks and random numbers"),
    attack!("empty-cohort", Add, FUEL_DEFAULT, "tell by an answer over nobody"),
    attack!("block-order", ChangeOneBlock, FUEL_DEFAULT, "tell by the order of people in blocks"),
    attack!("keys-from-note", HideKeys, FUEL_DEFAULT, "have a person's own text released"),
    attack!("budget", StayCharged, FUEL_DEFAULT, "tell by what is left of the budget"),
    attack!("update-cheat", StayCharged, FUEL_DEFAULT, "carry records past the noise, from round to round"),
    attack!("spin-in-start", BeRefused, FUEL_DEFAULT, "keep the node busy before the start"),
];

/// What an attack costs, of a measure: so much that the noise is as good as none, and what people add can be read off. They are
/// invented.
pub const fn almost_free_of_noise(measure: Measure) -> Loss {
    Loss::from_pico(measure, 200_000_000_000_000_000)
}
