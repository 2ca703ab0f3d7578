use core::marker::PhantomData;

use crate::shape::Shape;

/// An output's place among the numbers that a data subject writes; from a [`Manifest`](crate::Manifest).
pub struct Output<K> {
    /// Its first number.
    pub(crate) slot: usize,
    /// Its first sum, in a module with rounds.
    pub(crate) sum: usize,
    pub(crate) shape: Shape,
    pub(crate) kind: PhantomData<K>,
}

impl<K> Clone for Output<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Output<K> {}

/// How many people.
pub enum Count {}
/// A sum over people.
pub enum Sum {}
/// A mean over people.
pub enum Mean {}
/// Mean, variance and standard deviation over people.
pub enum Variance {}
/// How many people by group.
pub enum Histogram {}
/// How many people by group; the word for more than one axis.
pub enum GroupedCount {}
/// A mean over people by group.
pub enum GroupedMean {}
/// Quantiles over people.
pub enum Quantiles {}
/// A sum of vectors over people.
pub enum VectorSum {}
/// Survival of people.
pub enum Survival {}
/// How many people by keys that are not public.
pub enum Keys {}
/// A mean of vectors over blocks of people.
pub enum BlockMean {}

impl Output<VectorSum> {
    /// How many labels it has.
    #[must_use]
    pub const fn labels(self) -> usize {
        self.shape.width
    }
}

impl Output<BlockMean> {
    /// How many coordinates it has.
    #[must_use]
    pub const fn coordinates(self) -> usize {
        self.shape.width
    }
}
