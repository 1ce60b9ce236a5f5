//! The order in which to try the targets of a service (RFC 2782, page 3): the lowest priority
//! first; among equals by lot, where the weight is the chance.

use hickory_resolver::proto::rr::rdata::SRV;

/// Orders records. `lot` draws a number from 0 to its argument, both included.
pub(super) fn in_order(mut records: Vec<&SRV>, lot: impl Fn(u32) -> u32) -> Vec<&SRV> {
    // Those without weight stand in front, so that the lot can fall on them at all.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::with_capacity(records.len());
    let same_priority = |one: &&SRV, other: &&SRV| one.priority == other.priority;
    for equals in records.chunk_by(same_priority) {
        let mut left = equals.to_vec();
        while !left.is_empty() {
            let drawn = lot(left.iter().map(|record| u32::from(record.weight)).sum());
            let mut sum = 0;
            let place = left.iter().position(|record| {
                sum += u32::from(record.weight);
                sum >= drawn
            });
            ordered.push(left.remove(place.unwrap_or(0)));
        }
    }
    ordered
}

/// A number up to `most`. Without randomness it is 0: balance suffers, nothing else.
pub(super) fn at_random(most: u32) -> u32 {
    let mut bytes = [0; 8];
    match openrms_crypto::random::fill(&mut bytes) {
        Ok(()) => {
            let drawn = u64::from_le_bytes(bytes) % (u64::from(most) + 1);
            u32::try_from(drawn).unwrap_or(0)
        }
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::Name;

    use super::*;

    fn records(of: &[(u16, u16)]) -> Vec<SRV> {
        let record = |&(priority, weight)| SRV::new(priority, weight, 1, Name::root());
        of.iter().map(record).collect()
    }

    fn ordered(of: &[SRV], lot: impl Fn(u32) -> u32) -> Vec<(u16, u16)> {
        let ordered = in_order(of.iter().collect(), lot);
        let pair = |record: &SRV| (record.priority, record.weight);
        ordered.into_iter().map(pair).collect()
    }

    #[test]
    fn a_lower_priority_comes_first_whatever_the_weights() {
        let records = records(&[(20, 9), (10, 0), (10, 1), (0, 5)]);
        for lot in [|_| 0, |most| most, |most| most / 2] {
            let priorities: Vec<_> = ordered(&records, lot).iter().map(|pair| pair.0).collect();
            assert_eq!(priorities, [0, 10, 10, 20]);
        }
    }

    #[test]
    fn the_lot_falls_as_the_weights_say() {
        let records = records(&[(0, 3), (0, 0), (0, 1)]);
        assert_eq!(ordered(&records, |_| 0)[0], (0, 0));
        // Drawn from 0 to 4: 0 is the one without weight, 1 to 3 the heavy one, 4 the last.
        let firsts: Vec<_> = (0..=4_u32)
            .map(|drawn| ordered(&records, move |most| drawn.min(most))[0].1)
            .collect();
        assert_eq!(firsts, [0, 3, 3, 3, 1]);
    }

    #[test]
    fn chance_gives_the_heavy_one_more_often() {
        let records = records(&[(0, 90), (0, 10)]);
        let heavy = (0..1_000)
            .filter(|_| ordered(&records, at_random)[0].1 == 90)
            .count();
        assert!((800..980).contains(&heavy), "{heavy}");
    }

    #[test]
    fn the_heaviest_of_all_weights_do_not_overflow() {
        let records = records(&vec![(0, u16::MAX); 1_000]);
        assert_eq!(ordered(&records, at_random).len(), 1_000);
    }
}
