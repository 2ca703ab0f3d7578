//! Privacy loss as an integer. No `f64` arithmetic, no subtraction.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a loss is measured in, chosen when a dataset is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// ρ of zero-concentrated differential privacy (Bun & Steinke, TCC 2016).
    Zcdp,
    /// ε of pure differential privacy (Dwork et al., TCC 2006).
    Pure,
}

impl Measure {
    /// The name of the parameter in files and on the command line: `rho` or `epsilon`.
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Zcdp => "rho",
            Self::Pure => "epsilon",
        }
    }
}

/// Privacy loss: an amount in 10⁻¹² units of its [`Measure`], written `rho=0.05` or `epsilon=0.5`; with a probability δ of
/// more, in 10⁻¹⁸, also `rho=0.05,delta=0.000001`.
///
/// Losses with δ are those of approximate zCDP (Bun & Steinke, TCC 2016, definition 8.1) and of (ε, δ)-differential privacy;
/// in both, amounts and δs add up.
///
/// # Privacy
/// Parsing rounds up and addition is checked, so an account of losses never understates. There is no subtraction:
/// nothing is ever refunded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Loss {
    measure: Measure,
    pico: u64,
    delta_atto: u64,
}

/// Units of loss in one ρ or one ε.
pub const PICO_PER_UNIT: u64 = 1_000_000_000_000;
/// Units of δ in a probability of 1.
pub const ATTO_PER_ONE: u64 = 1_000_000_000_000_000_000;

/// A text that is not a loss, or a sum that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LossError {
    /// Not of the form.
    #[error(
        "{0:?} is not a privacy loss: expected rho=<decimal> or epsilon=<decimal>, for example rho=0.05, \
         and ,delta=<decimal> below 1 after it where keys are asked for"
    )]
    Text(String),
    /// ρ and ε do not add.
    #[error("a loss in {} cannot be combined with one in {}", .0.parameter(), .1.parameter())]
    Measure(Measure, Measure),
    /// Larger than can be counted.
    #[error("a privacy loss above 18 million is not a privacy loss")]
    Overflow,
}

impl Loss {
    /// `pico` 10⁻¹² units.
    pub const fn from_pico(measure: Measure, pico: u64) -> Self {
        Self { measure, pico, delta_atto: 0 }
    }

    /// The same with that δ, in 10⁻¹⁸.
    #[must_use]
    pub const fn with_delta_atto(self, delta_atto: u64) -> Self {
        Self { delta_atto, ..self }
    }

    /// No loss.
    pub const fn zero(measure: Measure) -> Self {
        Self::from_pico(measure, 0)
    }

    /// δ in 10⁻¹⁸: with at most this probability the loss is larger than the amount says.
    pub const fn delta_atto(self) -> u64 {
        self.delta_atto
    }

    /// The amount in 10⁻¹² units.
    pub const fn pico(self) -> u64 {
        self.pico
    }

    /// What it is measured in.
    pub const fn measure(self) -> Measure {
        self.measure
    }

    /// The sum; an error where measures differ or the sum overflows.
    pub fn plus(self, other: Self) -> Result<Self, LossError> {
        if self.measure != other.measure {
            return Err(LossError::Measure(self.measure, other.measure));
        }
        let pico = self.pico.checked_add(other.pico).ok_or(LossError::Overflow)?;
        let delta_atto = self.delta_atto.checked_add(other.delta_atto).ok_or(LossError::Overflow)?;
        Ok(Self { pico, delta_atto, ..self })
    }

    /// `times` this loss.
    pub fn times(self, times: u32) -> Result<Self, LossError> {
        let pico = self.pico.checked_mul(u64::from(times)).ok_or(LossError::Overflow)?;
        let delta_atto = self.delta_atto.checked_mul(u64::from(times)).ok_or(LossError::Overflow)?;
        Ok(Self { pico, delta_atto, ..self })
    }

    /// Whether this is at most `cap`; losses of different measures never fit each other.
    pub fn fits(self, cap: Self) -> bool {
        self.measure == cap.measure && self.pico <= cap.pico && self.delta_atto <= cap.delta_atto
    }

    /// δ as text; `none` for 0.
    pub fn delta_text(self) -> String {
        let text = Self::zero(self.measure).with_delta_atto(self.delta_atto).to_string();
        text.split_once("delta=").map_or_else(|| "none".into(), |(_, delta)| delta.to_owned())
    }

    /// The amount, for display and for choosing a noise scale that is then checked against this loss.
    #[expect(clippy::cast_precision_loss, reason = "display, and a start value that is verified exactly")]
    pub fn approx(self) -> f64 {
        self.pico as f64 / PICO_PER_UNIT as f64
    }

    /// δ, for display and for choosing a threshold that is then checked against this loss.
    #[expect(clippy::cast_precision_loss, reason = "display, and a start value that is verified")]
    pub fn delta_approx(self) -> f64 {
        self.delta_atto as f64 / ATTO_PER_ONE as f64
    }
}

/// One unit, such as one person, in grid steps of 2⁻ᵇⁱᵗˢ.
#[inline]
pub const fn grid_one(bits: u8) -> u32 {
    1 << if bits < 31 { bits } else { 31 }
}

/// `x` in units of 2⁻ᵇⁱᵗˢ, rounded to the nearest, ties to even. Exact for |x| ≤ 10⁹ and bits ≤ 22.
///
/// The one place where a number becomes an integer (**exact**): scaling by a power of two is exact in `f64`, the product
/// stays below 2⁵³, and rounding to an integer is exact.
#[expect(clippy::cast_possible_truncation, reason = "the product is an integer below 2^53, and `as` saturates")]
pub fn to_grid(x: f64, bits: u8) -> i64 {
    (x * f64::from(grid_one(bits))).round_ties_even() as i64
}

/// A decimal with so many places, in its last place's units (`one` of them make 1), rounded up.
fn decimal_up(text: &str, places: usize, one: u64) -> Result<u64, LossError> {
    let wrong = || LossError::Text(text.chars().take(40).collect());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || text.len() > 64 || !digits(whole) || !digits(fraction) {
        return Err(wrong());
    }
    let units: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| LossError::Overflow)? };
    let kept: String = fraction.chars().chain(std::iter::repeat('0')).take(places).collect();
    let below: u64 = kept.parse().map_err(|_| wrong())?;
    let rounding = u64::from(fraction.bytes().skip(places).any(|b| b != b'0'));
    units
        .checked_mul(one)
        .and_then(|p| p.checked_add(below))
        .and_then(|p| p.checked_add(rounding))
        .ok_or(LossError::Overflow)
}

impl FromStr for Loss {
    type Err = LossError;
    fn from_str(text: &str) -> Result<Self, LossError> {
        let wrong = || LossError::Text(text.chars().take(40).collect());
        let (amount, delta) = text.split_once(',').map_or((text, None), |(amount, delta)| (amount, Some(delta)));
        let (name, amount) = amount.split_once('=').ok_or_else(wrong)?;
        let measure = match name.trim() {
            "rho" => Measure::Zcdp,
            "epsilon" => Measure::Pure,
            _ => return Err(wrong()),
        };
        let loss = Self::from_pico(measure, decimal_up(amount.trim(), 12, PICO_PER_UNIT)?);
        let Some(delta) = delta else { return Ok(loss) };
        let delta = delta.trim().strip_prefix("delta=").ok_or_else(wrong)?;
        match decimal_up(delta.trim(), 18, ATTO_PER_ONE) {
            Ok(atto) if atto < ATTO_PER_ONE => Ok(loss.with_delta_atto(atto)),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Loss {
    type Error = LossError;
    fn try_from(text: String) -> Result<Self, LossError> {
        text.parse()
    }
}

impl From<Loss> for String {
    fn from(loss: Loss) -> Self {
        loss.to_string()
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |decimal: String| decimal.trim_end_matches('0').trim_end_matches('.').to_owned();
        let amount = short(format!("{}.{:012}", self.pico / PICO_PER_UNIT, self.pico % PICO_PER_UNIT));
        let mut text = format!("{}={amount}", self.measure.parameter());
        if self.delta_atto > 0 {
            let delta = format!("{}.{:018}", self.delta_atto / ATTO_PER_ONE, self.delta_atto % ATTO_PER_ONE);
            text.push_str(&format!(",delta={}", short(delta)));
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_round_up() {
        let loss: Loss = "rho=0.0500000000001".parse().expect("a loss");
        assert_eq!(loss.pico(), 50_000_000_001, "the 13th digit must round up, or the ledger understates");
        assert_eq!("rho=.5".parse::<Loss>().map(Loss::pico), Ok(PICO_PER_UNIT / 2));
        for bad in [
            "0.5",
            "rho=",
            "rho=-1",
            "rho=1e3",
            "rho=.",
            "delta=1",
            "rho=99999999999999999999",
            "rho=1,",
            "rho=1,0.1",
            "rho=1,delta=1",
        ] {
            assert!(bad.parse::<Loss>().is_err(), "{bad:?} was taken for a loss");
        }
    }

    #[test]
    fn a_delta_is_counted_beside_the_amount() {
        let loss: Loss = "rho=0.5,delta=0.0000000000000000001".parse().expect("a loss");
        assert_eq!(loss.delta_atto(), 1, "the 19th digit must round up, or the ledger understates");
        let without: Loss = "rho=0.5".parse().expect("a loss");
        assert!(!loss.fits(without), "a cap without a δ must not let one through");
        assert_eq!(loss.plus(loss).map(Loss::delta_atto), Ok(2));
        assert_eq!(loss.times(3).map(Loss::delta_atto), Ok(3));
    }

    #[test]
    fn measures_do_not_mix() {
        let rho = Loss::from_pico(Measure::Zcdp, 1);
        let epsilon = Loss::from_pico(Measure::Pure, 1);
        assert!(rho.plus(epsilon).is_err());
        assert!(!rho.fits(epsilon));
        assert!(Loss::from_pico(Measure::Zcdp, u64::MAX).plus(rho).is_err());
    }

    proptest! {
        #[test]
        fn text_is_exact(pico: u64, delta in 0..ATTO_PER_ONE) {
            let loss = Loss::from_pico(Measure::Pure, pico).with_delta_atto(delta);
            prop_assert_eq!(loss.to_string().parse(), Ok(loss));
        }
    }
}
