//! What the same data give without privacy, as `benches/utility/oracle` recorded it.

use serde_json::Value;
use spe_benches::Error;

/// The record.
pub(crate) struct Oracle(Value);

impl Oracle {
    /// The record that is checked in.
    pub(crate) fn read() -> Result<Self, Error> {
        Ok(Self(serde_json::from_str(include_str!("oracle.json"))?))
    }

    fn number(&self, dataset: &str, name: &str) -> Result<f64, Error> {
        let found = self.0.get(dataset).and_then(|of| of.get(name)).and_then(Value::as_f64);
        found.ok_or_else(|| format!("oracle.json has no {name} of {dataset}").into())
    }

    /// Accuracy and area under the curve.
    pub(crate) fn regression(&self, dataset: &str) -> Result<(f64, f64), Error> {
        Ok((self.number(dataset, "accuracy")?, self.number(dataset, "area")?))
    }

    /// Variance within the best clusters, and within a single one.
    pub(crate) fn clusters(&self) -> Result<(f64, f64), Error> {
        Ok((self.number("nafld-people", "best")?, self.number("nafld-people", "one")?))
    }
}
