//! Tables of results.

use openrms_crypto::Mode;

use crate::clock::median;
use crate::server::Round;

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

    /// Licenses per CPU second of each round for those of the same round of another case: the
    /// lowest, the middle and the highest of them.
    pub(crate) fn compared_with(&self, other: &Self) -> [f64; 3] {
        self.compared(other, |round| round.cpu)
    }

    /// As [`Row::compared_with`], without the CPU time of the log's listener.
    pub(crate) fn compared_while_serving(&self, other: &Self) -> [f64; 3] {
        self.compared(other, |round| round.cpu - round.listener)
    }

    fn compared(&self, other: &Self, spent: impl Fn(&Round) -> f64) -> [f64; 3] {
        let rate = |(round, _): &(Round, f64)| round.licenses as f64 / spent(round);
        let pairs = self.rounds.iter().zip(&other.rounds);
        let mut ratios: Vec<f64> = pairs.map(|(a, b)| rate(a) / rate(b)).collect();
        let middle = median(&mut ratios);
        let end = |ratio: Option<&f64>| ratio.copied().unwrap_or(middle);
        [end(ratios.first()), middle, end(ratios.last())]
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

/// Prints what the cases are held against.
pub(crate) fn print_ceiling(mode: Mode, threads: usize, rows: &[Row]) {
    let mut ceilings: Vec<f64> = rows
        .iter()
        .flat_map(|row| row.rounds.iter().map(|(_, p)| *p))
        .collect();
    let p = median(&mut ceilings);
    println!(
        "mode {}, server threads {threads}; P = {p:.0} private-key operations per CPU second \
         ({:.0} to {:.0})",
        mode.number(),
        ceilings.first().unwrap_or(&p),
        ceilings.last().unwrap_or(&p)
    );
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
