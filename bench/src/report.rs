//! Tables of results.

use crate::clock::median;
use crate::license::Round;

/// One case, over its rounds.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    connections: usize,
    /// Each round, and the private-key operations per CPU second measured beside it.
    rounds: Vec<(Round, f64)>,
}

impl Row {
    pub(crate) fn new(name: &'static str, connections: usize, rounds: Vec<(Round, f64)>) -> Self {
        Self {
            name,
            connections,
            rounds,
        }
    }

    /// Licenses for each CPU second of the server.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.median(|round| round.licenses as f64 / round.cpu)
    }

    /// Licenses for each private-key operation that the same CPU time would have done.
    pub(crate) fn ratio(&self) -> f64 {
        let ratio = |(round, p): &(Round, f64)| round.licenses as f64 / round.cpu / p;
        median(&mut self.rounds.iter().map(ratio).collect::<Vec<_>>())
    }

    pub(crate) fn ceilings(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(|(_, p)| *p)
    }

    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(
            &mut self
                .rounds
                .iter()
                .map(|(round, _)| figure(round))
                .collect::<Vec<_>>(),
        )
    }
}

/// Prints cases against P.
pub(crate) fn print_rows(rows: &[Row]) {
    println!(
        "{:<28}{:>6}{:>12}{:>8}{:>12}{:>10}{:>10}{:>10}",
        "case", "conns", "per CPU-s", "x P", "CPU us each", "per s", "p50 ms", "p99 ms"
    );
    for row in rows {
        let rate = row.per_cpu_second();
        println!(
            "{:<28}{:>6}{:>12.0}{:>8.2}{:>12.1}{:>10.0}{:>10.2}{:>10.2}",
            row.name,
            row.connections,
            rate,
            row.ratio(),
            1e6 / rate,
            row.median(|round| round.licenses as f64 / round.elapsed),
            row.median(|round| round.p50) * 1e3,
            row.median(|round| round.p99) * 1e3,
        );
        if let Some((round, _)) = row.rounds.last() {
            let counts: Vec<String> = round
                .caches
                .iter()
                .map(|(name, change)| format!("{name} {change}"))
                .collect();
            println!("    {} licenses; {}", round.licenses, counts.join(", "));
        }
    }
}
