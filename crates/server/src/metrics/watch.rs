//! What is noted of one request while it is answered: its steps, for the counters and, when the
//! request is traced, for its spans.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use openrms_engine::{Observer, Step};

use super::Counters;
use crate::clock;

/// The observer of one request.
pub(crate) struct Watch<'c> {
    counters: &'c Counters,
    /// What a trace tells, when there is one.
    steps: Option<Mutex<Vec<Passed>>>,
}

/// A part of a request that is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed {
    pub(crate) name: &'static str,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
}

impl<'c> Watch<'c> {
    /// Counts into `counters`, and notes what passes when `is_traced`.
    pub(crate) fn new(counters: &'c Counters, is_traced: bool) -> Self {
        Self {
            counters,
            steps: is_traced.then(Mutex::default),
        }
    }

    /// Notes a part of the request that is no step of a decision and is over now.
    pub(crate) fn note(&self, name: &'static str, begun: Instant) {
        if let Some(steps) = &self.steps {
            let mut steps = steps.lock().unwrap_or_else(PoisonError::into_inner);
            if steps.len() < MOST {
                let ended = Instant::now();
                steps.push(Passed { name, begun, ended });
            }
        }
    }

    /// What passed.
    pub(crate) fn passed(self) -> Vec<Passed> {
        let steps = self.steps.map(Mutex::into_inner);
        let steps = steps.map(|steps| steps.unwrap_or_else(PoisonError::into_inner));
        steps.unwrap_or_default()
    }
}

impl Observer for Watch<'_> {
    fn begin(&self, _: Step) -> Option<Instant> {
        Some(Instant::now())
    }

    fn end(&self, step: Step, begun: Instant) {
        self.counters.count_step(step, clock::micros_since(begun));
        self.note(step.as_str(), begun);
    }
}

/// A batch has as many steps as it has items; of a trace nobody reads more than these.
const MOST: usize = 128;
