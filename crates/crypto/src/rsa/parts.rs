//! The numbers of an RSA private key, and the checks that they belong together.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The numbers of an RSA private key, big-endian without leading zeros.
pub(crate) struct Parts {
    pub(crate) modulus: Vec<u8>,
    pub(crate) exponent: u32,
    pub(crate) p: Zeroizing<Vec<u8>>,
    pub(crate) q: Zeroizing<Vec<u8>>,
    pub(crate) dp: Zeroizing<Vec<u8>>,
    pub(crate) dq: Zeroizing<Vec<u8>>,
    pub(crate) q_inverse: Zeroizing<Vec<u8>>,
    pub(crate) d: Zeroizing<Vec<u8>>,
}

impl Parts {
    /// Checks sizes, and that the primes multiply to the modulus. The exponents are checked by
    /// the library when it takes the key.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let (whole, half) = (self.modulus.len(), self.modulus.len() / 2);
        if whole % 2 != 0 || whole > MAX_MODULUS_LEN {
            return Err("the modulus has an odd length");
        }
        if self.p.len() != half || self.q.len() != half {
            return Err("the primes are not half as long as the modulus");
        }
        if self.dp.len() > half || self.dq.len() > half || self.q_inverse.len() > half {
            return Err("a CRT number is longer than the primes");
        }
        if self.d.len() > whole {
            return Err("the private exponent is longer than the modulus");
        }
        let product = multiply(&self.p, &self.q);
        if !bool::from(product.ct_eq(&self.modulus)) {
            return Err("the primes do not multiply to the modulus");
        }
        Ok(())
    }
}

/// Schoolbook product of two big-endian numbers; the work depends on their lengths only.
fn multiply(a: &[u8], b: &[u8]) -> Zeroizing<Vec<u8>> {
    // Columns of byte products, lowest first. Each holds at most 256 * 255 * 255 plus a carry.
    let mut columns = Zeroizing::new(vec![0u32; a.len() + b.len()]);
    for (i, &x) in a.iter().rev().enumerate() {
        for (column, &y) in columns.iter_mut().skip(i).zip(b.iter().rev()) {
            *column += u32::from(x) * u32::from(y);
        }
    }
    let mut carry = 0;
    for column in columns.iter_mut() {
        *column += carry;
        carry = *column >> 8;
        *column &= 0xFF;
    }
    Zeroizing::new(
        columns
            .iter()
            .rev()
            .map(|&column| column.to_le_bytes()[0])
            .collect(),
    )
}

const MAX_MODULUS_LEN: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_carry_through_every_byte() {
        assert_eq!(*multiply(&[0xFF, 0xFF], &[0xFF, 0xFF]), [0xFF, 0xFE, 0, 1]);
        assert_eq!(
            *multiply(&[0x12, 0x34], &[0x56, 0x78]),
            [0x06, 0x26, 0x00, 0x60]
        );
        let mut square = vec![0xFF; 512];
        square[255] = 0xFE;
        square[256..511].fill(0);
        square[511] = 1;
        assert_eq!(*multiply(&[0xFF; 256], &[0xFF; 256]), square);
    }
}
