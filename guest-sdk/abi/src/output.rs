/// What an output is, and so how many numbers `spe_map` writes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputKind {
    /// How many people: 1 if the number is not 0.
    Count,
    /// A sum over people of one clamped number each.
    Sum,
    /// A mean over people of one clamped number each.
    Mean,
    /// How many people by category: one code each.
    Histogram,
    /// A mean over people by category: a code and a clamped number each.
    GroupedMean,
}

impl OutputKind {
    /// Every kind.
    pub const ALL: [OutputKind; 5] =
        [OutputKind::Count, OutputKind::Sum, OutputKind::Mean, OutputKind::Histogram, OutputKind::GroupedMean];

    /// The manifest's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            OutputKind::Count => "count",
            OutputKind::Sum => "sum",
            OutputKind::Mean => "mean",
            OutputKind::Histogram => "histogram",
            OutputKind::GroupedMean => "grouped_mean",
        }
    }

    /// How many `f64` one data subject writes for it.
    #[must_use]
    pub const fn numbers(self) -> usize {
        match self {
            OutputKind::Count | OutputKind::Sum | OutputKind::Mean | OutputKind::Histogram => 1,
            OutputKind::GroupedMean => 2,
        }
    }
}
