//! Where the figures of a metric come from: what each operation counts, each step, or anything else.

use openrms_engine::Step;
use openrms_protocol::OperationName;

use super::Object;
use super::histogram::Sum;
use super::render::{Samples, View};

/// How Prometheus reads a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

/// Writes the figures of one operation.
type Part = fn(&View<'_>, usize, &str, &mut Samples<'_>);

/// Where the figures come from.
pub(super) enum Source {
    Requests(Object),
    Failures(Object),
    Durations(Object),
    FailureDurations(Object),
    Steps(Object),
    Of(fn(&View<'_>, &mut Samples<'_>)),
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

impl Source {
    pub(super) fn write(&self, view: &View<'_>, samples: &mut Samples<'_>) {
        let (object, part): (Object, Part) = match self {
            Self::Of(write) => return write(view, samples),
            Self::Steps(object) => return write_steps(view, *object, samples),
            Self::Requests(object) => (*object, |view, index, name, samples| {
                samples.value(&[name], view.requests(index).count);
            }),
            Self::Failures(object) => (*object, |view, index, name, samples| {
                samples.value(&[name], view.failures(index).count);
            }),
            Self::Durations(object) => (*object, |view, index, name, samples| {
                samples.histogram(&[name], &view.requests(index));
            }),
            Self::FailureDurations(object) => (*object, |view, index, name, samples| {
                samples.summary(&[name], &view.failures(index));
            }),
        };
        for (index, name) in OperationName::ALL.iter().enumerate() {
            if Object::of(*name) == object {
                part(view, index, name.as_str(), samples);
            }
        }
    }
}

fn write_steps(view: &View<'_>, object: Object, samples: &mut Samples<'_>) {
    for (index, step) in Step::ALL.iter().enumerate() {
        if Object::of_step(*step) == object {
            let all = view.cores.iter().filter_map(|core| core.steps.get(index));
            samples.summary(&[step.as_str()], &Sum::of_timed(all));
        }
    }
}
