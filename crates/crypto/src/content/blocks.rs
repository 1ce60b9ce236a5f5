//! The block work under the content ciphers: AES on many blocks at once by whatever the
//! processor has (`VAES`, AES-NI, `ARMv8` or portable code, picked at run time by the `aes` crate).
//!
//! One CBC run cannot be sped up: every block waits for the one before. But the units of CBC4K
//! and CBC512 are runs of their own, so encryption takes as many units as the processor takes
//! blocks, and does block 0 of all of them, then block 1, and so on. The units lie 4 KiB apart,
//! which would map all of them to the same few lines of the first-level cache, so that each
//! touch would throw another unit out: a column of some blocks per unit is therefore copied to a
//! small stage first, transposed, so that each row is what the processor takes in one go.

// Everything here must be compiled into the back end's own function, where its wide registers
// are enabled; a call boundary would lose them.
#![allow(clippy::inline_always)]
// The validated module, which takes the place of this one, can fail.
#![allow(clippy::unnecessary_wraps)]

use aes::cipher::array::Array;
use aes::cipher::consts::U16;
use aes::cipher::typenum::Unsigned;
use aes::cipher::{
    BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherDecrypt, BlockCipherEncBackend,
    BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit, ParBlocks,
};
use aes::{Aes128, Aes192, Aes256};

use crate::content::{ContentError, ContentKey, KeyBits};

/// One AES block.
pub(super) const BLOCK: usize = 16;

/// An expanded key. Wiped when dropped.
pub(crate) enum Schedule {
    Aes128(Box<Aes128>),
    Aes192(Box<Aes192>),
    Aes256(Box<Aes256>),
}

impl Schedule {
    pub(crate) fn new(key: &ContentKey) -> Self {
        match key.bits() {
            KeyBits::Aes128 => Self::Aes128(Box::new(expand(key.expose()))),
            KeyBits::Aes192 => Self::Aes192(Box::new(expand(key.expose()))),
            KeyBits::Aes256 => Self::Aes256(Box::new(expand(key.expose()))),
        }
    }

    /// ECB over whole blocks.
    pub(crate) fn encrypt_ecb(&self, blocks: &mut [[u8; BLOCK]]) -> Result<(), ContentError> {
        let blocks = Array::cast_slice_from_core_mut(blocks);
        match self {
            Self::Aes128(aes) => aes.encrypt_blocks(blocks),
            Self::Aes192(aes) => aes.encrypt_blocks(blocks),
            Self::Aes256(aes) => aes.encrypt_blocks(blocks),
        }
        Ok(())
    }

    /// ECB over whole blocks.
    pub(crate) fn decrypt_ecb(&self, blocks: &mut [[u8; BLOCK]]) -> Result<(), ContentError> {
        let blocks = Array::cast_slice_from_core_mut(blocks);
        match self {
            Self::Aes128(aes) => aes.decrypt_blocks(blocks),
            Self::Aes192(aes) => aes.decrypt_blocks(blocks),
            Self::Aes256(aes) => aes.decrypt_blocks(blocks),
        }
        Ok(())
    }

    /// CBC over units of `unit` blocks, each with its own IV; the last may be shorter.
    pub(super) fn encrypt_cbc(
        &self,
        unit: usize,
        ivs: &[[u8; BLOCK]],
        blocks: &mut [[u8; BLOCK]],
    ) -> Result<(), ContentError> {
        let ivs = Array::cast_slice_from_core(ivs);
        let work = CbcEncrypt { unit, ivs, blocks };
        match self {
            Self::Aes128(aes) => aes.encrypt_with_backend(work),
            Self::Aes192(aes) => aes.encrypt_with_backend(work),
            Self::Aes256(aes) => aes.encrypt_with_backend(work),
        }
        Ok(())
    }

    /// CBC over units of `unit` blocks, each with its own IV; the last may be shorter.
    pub(super) fn decrypt_cbc(
        &self,
        unit: usize,
        ivs: &[[u8; BLOCK]],
        blocks: &mut [[u8; BLOCK]],
    ) -> Result<(), ContentError> {
        let ivs = Array::cast_slice_from_core(ivs);
        let work = CbcDecrypt { unit, ivs, blocks };
        match self {
            Self::Aes128(aes) => aes.decrypt_with_backend(work),
            Self::Aes192(aes) => aes.decrypt_with_backend(work),
            Self::Aes256(aes) => aes.decrypt_with_backend(work),
        }
        Ok(())
    }
}

/// One block in the form the `aes` crate takes.
type Block = aes::Block;

/// Runs inside the code the `aes` crate compiled for the processor at hand, so the copying and
/// the exclusive-or use its wide registers too.
struct CbcEncrypt<'a> {
    unit: usize,
    ivs: &'a [Block],
    blocks: &'a mut [[u8; BLOCK]],
}

impl BlockSizeUser for CbcEncrypt<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for CbcEncrypt<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let lanes = B::ParBlocksSize::USIZE;
        let whole = self.blocks.len() / self.unit;
        let (units, tail) = self.blocks.split_at_mut(whole * self.unit);
        let (unit_ivs, tail_ivs) = self.ivs.split_at_checked(whole).unwrap_or((self.ivs, &[]));
        for (group, ivs) in units
            .chunks_mut(lanes * self.unit)
            .zip(unit_ivs.chunks(lanes))
        {
            if ivs.len() * WORTH_FULL_ROWS >= lanes {
                interleaved(backend, self.unit, ivs, group);
            } else {
                for (units, ivs) in group.chunks_mut(FEW * self.unit).zip(ivs.chunks(FEW)) {
                    few(backend, self.unit, ivs, units);
                }
            }
        }
        if let Some(iv) = tail_ivs.first() {
            serial(backend, *iv, tail);
        }
    }
}

#[inline(always)]
fn serial<B: BlockCipherEncBackend<BlockSize = U16>>(
    backend: &B,
    mut chain: Block,
    blocks: &mut [[u8; BLOCK]],
) {
    for block in blocks {
        xor(&mut chain, Array::cast_from_core(block));
        backend.encrypt_block_inplace(&mut chain);
        *block = chain.0;
    }
}

/// A few units side by side, block by block: the processor overlaps their rounds by itself. What
/// is left for fewer units than make a full row worth its while.
#[inline(always)]
fn few<B: BlockCipherEncBackend<BlockSize = U16>>(
    backend: &B,
    unit: usize,
    ivs: &[Block],
    blocks: &mut [[u8; BLOCK]],
) {
    let mut chains = [Block::default(); FEW];
    for (to, iv) in chains.iter_mut().zip(ivs) {
        *to = *iv;
    }
    for at in 0..unit {
        for (chain, unit) in chains.iter_mut().zip(blocks.chunks_mut(unit)) {
            if let Some(block) = unit.get_mut(at) {
                xor(chain, Array::cast_from_core(block));
                backend.encrypt_block_inplace(chain);
                *block = chain.0;
            }
        }
    }
}

/// As many units side by side as there are IVs, at most one per lane of the back end.
#[inline(always)]
fn interleaved<B: BlockCipherEncBackend<BlockSize = U16>>(
    backend: &B,
    unit: usize,
    ivs: &[Block],
    blocks: &mut [[u8; BLOCK]],
) {
    let mut chain = ParBlocks::<B>::default();
    for (to, iv) in chain.iter_mut().zip(ivs) {
        *to = *iv;
    }
    let mut stage: [ParBlocks<B>; COLUMN] = std::array::from_fn(|_| ParBlocks::<B>::default());
    for start in (0..unit).step_by(COLUMN) {
        for (lane, blocks) in blocks.chunks(unit).enumerate() {
            let column = blocks.get(start..start + COLUMN).unwrap_or_default();
            for (row, block) in stage.iter_mut().zip(column) {
                if let Some(place) = row.get_mut(lane) {
                    place.0 = *block;
                }
            }
        }
        for at in 0..COLUMN {
            let (done, rest) = stage.split_at_mut(at);
            let Some(row) = rest.first_mut() else { break };
            xor_row(row, done.last().unwrap_or(&chain));
            backend.encrypt_par_blocks_inplace(row);
        }
        if let Some(last) = stage.last() {
            chain.clone_from(last);
        }
        for (lane, blocks) in blocks.chunks_mut(unit).enumerate() {
            let column = blocks.get_mut(start..start + COLUMN).unwrap_or_default();
            for (row, block) in stage.iter().zip(column) {
                if let Some(place) = row.get(lane) {
                    *block = place.0;
                }
            }
        }
    }
}

struct CbcDecrypt<'a> {
    unit: usize,
    ivs: &'a [Block],
    blocks: &'a mut [[u8; BLOCK]],
}

impl BlockSizeUser for CbcDecrypt<'_> {
    type BlockSize = U16;
}

impl BlockCipherDecClosure for CbcDecrypt<'_> {
    #[inline(always)]
    fn call<B: BlockCipherDecBackend<BlockSize = U16>>(self, backend: &B) {
        for (unit, iv) in self.blocks.chunks_mut(self.unit).zip(self.ivs) {
            let mut before = *iv;
            let (groups, tail) = Array::<Block, B::ParBlocksSize>::slice_as_chunks_mut(
                Array::cast_slice_from_core_mut(unit),
            );
            for group in groups {
                let cipher = group.clone();
                backend.decrypt_par_blocks_inplace(group);
                if let Some(first) = group.first_mut() {
                    xor(first, &before);
                }
                xor_row(group.get_mut(1..).unwrap_or_default(), &cipher);
                if let Some(last) = cipher.last() {
                    before = *last;
                }
            }
            for block in tail {
                let cipher = *block;
                backend.decrypt_block_inplace(block);
                xor(block, &before);
                before = cipher;
            }
        }
    }
}

/// Exclusive-or over whole rows, as bytes: that is what the compiler turns into wide registers.
#[inline(always)]
fn xor_row(row: &mut [Block], with: &[Block]) {
    let row = Array::slice_as_flattened_mut(row);
    for (byte, with) in row.iter_mut().zip(Array::slice_as_flattened(with)) {
        *byte ^= with;
    }
}

#[inline(always)]
fn xor(block: &mut Block, with: &Block) {
    let sum = u128::from_ne_bytes(block.0) ^ u128::from_ne_bytes(with.0);
    block.0 = sum.to_ne_bytes();
}

/// A cipher of the right size for `key`, whose length its type has fixed.
fn expand<C: KeyInit>(key: &[u8]) -> C {
    let mut sized = zeroize::Zeroizing::new([0u8; 32]);
    for (to, from) in sized.iter_mut().zip(key) {
        *to = *from;
    }
    let fitted = sized.get(..C::key_size()).unwrap_or_default();
    let array: Array<u8, C::KeySize> = Array::from_fn(|at| fitted.get(at).copied().unwrap_or(0));
    C::new(&array)
}

/// Blocks of each unit staged at a time: 256 bytes, so that the stage of the widest back end
/// (64 lanes) takes 16 KiB.
const COLUMN: usize = 16;

/// A group that fills fewer lanes than one in this many goes a [`FEW`] units at a time.
const WORTH_FULL_ROWS: usize = 4;

/// Units the processor can overlap without being told to.
const FEW: usize = 8;

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use aes::cipher::array::ArraySize;
    use aes::cipher::consts::{U1, U4, U8, U30, U64};
    use aes::cipher::{InOut, ParBlocksSizeUser};

    use super::*;
    use crate::content::Cipher;

    /// A processor that takes `N` blocks at once: the machine running the tests has but one kind.
    struct Lanes<'a, N>(&'a Aes256, PhantomData<N>);

    impl<N> BlockSizeUser for Lanes<'_, N> {
        type BlockSize = U16;
    }

    impl<N: ArraySize> ParBlocksSizeUser for Lanes<'_, N> {
        type ParBlocksSize = N;
    }

    impl<N: ArraySize> BlockCipherEncBackend for Lanes<'_, N> {
        fn encrypt_block(&self, block: InOut<'_, '_, Block>) {
            self.0.encrypt_block_inout(block);
        }
    }

    impl<N: ArraySize> BlockCipherDecBackend for Lanes<'_, N> {
        fn decrypt_block(&self, block: InOut<'_, '_, Block>) {
            self.0.decrypt_block_inout(block);
        }
    }

    fn check<N: ArraySize>() {
        let key = ContentKey::new(Cipher::Cbc4k, &[7; 32]).unwrap();
        let aes: Aes256 = expand(key.expose());
        let backend = Lanes::<N>(&aes, PhantomData);
        for (unit, len) in [
            (256, 0usize),
            (256, 1),
            (256, 256),
            (32, 1000),
            (32, 2048),
            (256, 16500),
        ] {
            let plain: Vec<[u8; BLOCK]> = (0..len as u128).map(u128::to_le_bytes).collect();
            let ivs: Vec<Block> = (0..=len as u128 / unit as u128)
                .map(|at| Array(at.to_be_bytes()))
                .collect();

            let mut expected = plain.clone();
            for (unit, iv) in expected.chunks_mut(unit).zip(&ivs) {
                serial(&backend, *iv, unit);
            }
            let mut blocks = plain.clone();
            CbcEncrypt {
                unit,
                ivs: &ivs,
                blocks: &mut blocks,
            }
            .call(&backend);
            assert!(blocks == expected, "{} lanes, {len} blocks", N::USIZE);
            CbcDecrypt {
                unit,
                ivs: &ivs,
                blocks: &mut blocks,
            }
            .call(&backend);
            assert!(blocks == plain, "{} lanes, {len} blocks", N::USIZE);
        }
    }

    #[test]
    fn processors_of_every_width_give_the_same_bytes() {
        check::<U1>();
        check::<U4>();
        check::<U8>();
        check::<U30>();
        check::<U64>();
    }
}
