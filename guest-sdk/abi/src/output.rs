/// What an output is: the manifest's `kind`.
///
/// How many `f64` a data subject writes for it depends on what the manifest declares: see the table in
/// `docs/guest-abi.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputKind {
    /// How many people: 1 if the number is not 0.
    Count,
    /// A sum over people of one clamped number each.
    Sum,
    /// A mean over people of one clamped number each.
    Mean,
    /// Mean, variance and standard deviation over people of one clamped number each.
    Variance,
    /// How many people by group: a code or number for each axis.
    Histogram,
    /// The same as [`OutputKind::Histogram`]; the word for more than one axis.
    GroupedCount,
    /// A mean over people by group: a code or number for each axis, and a clamped number.
    GroupedMean,
    /// Quantiles over people of one number each.
    Quantiles,
    /// A sum over people of one vector each, of bounded norm.
    VectorSum,
    /// Survival over intervals of time: a time, and whether it is that of the event.
    Survival,
    /// How many people by keys that are not public: whole numbers up to [`KEY_MAX`](crate::KEY_MAX).
    Keys,
    /// A mean over blocks of people of one clamped vector each.
    BlockMean,
}

impl OutputKind {
    /// Every kind.
    pub const ALL: [OutputKind; 12] = [
        OutputKind::Count,
        OutputKind::Sum,
        OutputKind::Mean,
        OutputKind::Variance,
        OutputKind::Histogram,
        OutputKind::GroupedCount,
        OutputKind::GroupedMean,
        OutputKind::Quantiles,
        OutputKind::VectorSum,
        OutputKind::Survival,
        OutputKind::Keys,
        OutputKind::BlockMean,
    ];

    /// The manifest's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            OutputKind::Count => "count",
            OutputKind::Sum => "sum",
            OutputKind::Mean => "mean",
            OutputKind::Variance => "variance",
            OutputKind::Histogram => "histogram",
            OutputKind::GroupedCount => "grouped_count",
            OutputKind::GroupedMean => "grouped_mean",
            OutputKind::Quantiles => "quantiles",
            OutputKind::VectorSum => "vector_sum",
            OutputKind::Survival => "survival",
            OutputKind::Keys => "keys",
            OutputKind::BlockMean => "block_mean",
        }
    }
}
