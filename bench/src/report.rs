//! Tables of results.

use crate::clock::median;
use crate::license::Round;

/// One case, over its rounds.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    connections: usize,
    rounds: Vec<Round>,
}

impl Row {
    pub(crate) fn new(name: &'static str, connections: usize, rounds: Vec<Round>) -> Self {
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

    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(&mut self.rounds.iter().map(figure).collect::<Vec<_>>())
    }
}

/// Prints cases against P.
pub(crate) fn print_rows(rows: &[Row], p: f64) {
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
            rate / p,
            1e6 / rate,
            row.median(|round| round.licenses as f64 / round.elapsed),
            row.median(|round| round.p50) * 1e3,
            row.median(|round| round.p99) * 1e3,
        );
        if let Some(round) = row.rounds.last() {
            let counts: Vec<String> = round
                .caches
                .iter()
                .map(|(name, change)| format!("{name} {change}"))
                .collect();
            println!("    {} licenses; {}", round.licenses, counts.join(", "));
        }
    }
}
