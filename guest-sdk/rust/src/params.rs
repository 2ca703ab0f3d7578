use crate::Param;

/// The job's public parameters, the same for every data subject.
#[derive(Clone, Copy)]
pub struct Params<'a> {
    numbers: &'a [f64],
}

impl<'a> Params<'a> {
    pub(crate) fn new(numbers: &'a [f64]) -> Params<'a> {
        Params { numbers }
    }

    /// The value of `param`.
    #[must_use]
    pub fn get(&self, param: Param) -> f64 {
        self.numbers[param.index]
    }
}
