//! CPU time of this thread and of another process, from the kernel's scheduler statistics.

use std::time::Duration;

/// CPU time this thread has had.
pub(crate) fn thread() -> Duration {
    schedstat("/proc/thread-self/schedstat")
}

/// CPU time all threads of a process have had.
pub(crate) fn process(id: u32) -> Duration {
    threads(id, |_| true)
}

/// CPU time that the threads of a server have had which take its log to the database.
pub(crate) fn listener(id: u32) -> Duration {
    // Those of SQLite are hardly asked for anything else under load.
    threads(id, |name| {
        name.starts_with("rmsd-log") || name.starts_with("sqlx-sqlite")
    })
}

fn threads(id: u32, wanted: impl Fn(&str) -> bool) -> Duration {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{id}/task")) else {
        return Duration::ZERO;
    };
    let tasks = tasks.filter_map(Result::ok).map(|task| task.path());
    let tasks = tasks.filter(|task| {
        let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        wanted(name.trim())
    });
    tasks
        .map(|task| schedstat(&format!("{}/schedstat", task.display())))
        .sum()
}

/// Runs something again and again for about that long; CPU seconds for each time.
pub(crate) fn each(about: Duration, mut work: impl FnMut()) -> f64 {
    let (start, mut times) = (thread(), 0_u32);
    loop {
        work();
        times += 1;
        let spent = thread().saturating_sub(start);
        if spent >= about {
            return spent.as_secs_f64() / f64::from(times);
        }
    }
}

/// The middle of some figures.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn schedstat(path: &str) -> Duration {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|first| first.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
