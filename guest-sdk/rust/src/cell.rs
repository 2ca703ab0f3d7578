use spe_abi::NO_ANSWER;

/// A place on one axis of groups: the code of a category, a number whose bin the host finds, or yes (1) or no (0).
/// Without one, the whole cell is left out.
pub trait Place {
    /// The number that the host reads.
    #[doc(hidden)]
    fn number(self) -> f64;
}

impl Place for u32 {
    fn number(self) -> f64 {
        self.into()
    }
}

impl Place for f64 {
    fn number(self) -> f64 {
        self
    }
}

impl Place for bool {
    fn number(self) -> f64 {
        u8::from(self).into()
    }
}

impl<P: Place> Place for Option<P> {
    fn number(self) -> f64 {
        self.map_or(NO_ANSWER, P::number)
    }
}

/// Names a group: a [`Place`] where there is one axis, else a tuple or an array of one for each axis, in the manifest's
/// order.
pub trait Cell {
    /// Writes a number for each axis.
    #[doc(hidden)]
    fn write(self, axes: &mut [f64]);
}

impl<P: Place> Cell for P {
    fn write(self, axes: &mut [f64]) {
        place([self.number()], axes);
    }
}

impl<P: Place, const N: usize> Cell for [P; N] {
    fn write(self, axes: &mut [f64]) {
        place(self.map(P::number), axes);
    }
}

impl<A: Place, B: Place> Cell for (A, B) {
    fn write(self, axes: &mut [f64]) {
        place([self.0.number(), self.1.number()], axes);
    }
}

impl<A: Place, B: Place, C: Place> Cell for (A, B, C) {
    fn write(self, axes: &mut [f64]) {
        place([self.0.number(), self.1.number(), self.2.number()], axes);
    }
}

impl<A: Place, B: Place, C: Place, D: Place> Cell for (A, B, C, D) {
    fn write(self, axes: &mut [f64]) {
        place([self.0.number(), self.1.number(), self.2.number(), self.3.number()], axes);
    }
}

fn place<const N: usize>(places: [f64; N], axes: &mut [f64]) {
    assert!(axes.len() == N, "a cell has one place on each axis of the output");
    axes.copy_from_slice(&places);
}
