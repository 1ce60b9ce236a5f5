//! Durations, counted without locks and without allocation: a histogram with few buckets, and a
//! number with a sum where buckets would say nothing more.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often, and how long altogether.
#[derive(Debug, Default)]
pub(crate) struct Timed {
    count: AtomicU64,
    micros: AtomicU64,
}

/// How often something took how long.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// Each counts what is not in those before it; the last is for whatever takes longer.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// What several histograms counted together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) buckets: [u64; BOUNDS.len() + 1],
    pub(super) count: u64,
    pub(super) micros: u64,
}

impl Timed {
    /// Counts one that took so many microseconds.
    pub(crate) fn record(&self, micros: u64) {
        self.count.fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }
}

impl Histogram {
    /// Counts one that took so many microseconds.
    pub(crate) fn record(&self, micros: u64) {
        let index = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Relaxed);
        }
        self.micros.fetch_add(micros, Relaxed);
    }
}

impl Sum {
    pub(super) fn of_timed<'t>(all: impl Iterator<Item = &'t Timed>) -> Self {
        let mut sum = Self::default();
        for timed in all {
            sum.count += timed.count.load(Relaxed);
            sum.micros = sum.micros.wrapping_add(timed.micros.load(Relaxed));
        }
        sum
    }

    pub(super) fn of<'h>(all: impl Iterator<Item = &'h Histogram>) -> Self {
        let mut sum = Self::default();
        for histogram in all {
            for (total, bucket) in sum.buckets.iter_mut().zip(&histogram.buckets) {
                *total += bucket.load(Relaxed);
            }
            sum.micros = sum.micros.wrapping_add(histogram.micros.load(Relaxed));
        }
        sum.count = sum.buckets.iter().sum();
        sum
    }
}

/// Upper bounds in microseconds, inclusive: from what a cache answers to what clients give up on.
pub(super) const BOUNDS: [u64; 11] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_000_000, 10_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for micros in [0, 250, 251, 10_000_000, 10_000_001] {
            histogram.record(micros);
        }
        let sum = Sum::of([&histogram, &histogram].into_iter());
        assert_eq!(sum.buckets[0], 4);
        assert_eq!(sum.buckets[1], 2);
        assert_eq!(sum.buckets[BOUNDS.len() - 1], 2);
        assert_eq!(sum.buckets[BOUNDS.len()], 2);
        assert_eq!((sum.count, sum.micros), (10, 2 * 20_000_502));
    }
}
