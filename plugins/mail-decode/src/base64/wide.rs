//! Sixteen letters at once, in the vector instructions of WebAssembly.
//!
//! A letter is told, and its value found, by its two halves of four bits: the tables say of each upper
//! half which lower ones make a letter with it, and how far those letters are from their values.

use core::arch::wasm32::{
    i8x16_eq, i8x16_shuffle, i8x16_splat, i8x16_swizzle, i16x8, i16x8_shl, i16x8_splat,
    i32x4_dot_i16x8, u8x16_add, u8x16_bitmask, u8x16_shr, u8x16_splat, u16x8_shr, u64x2,
    u64x2_extract_lane, v128, v128_and, v128_or,
};

use super::TABLE;

/// For each upper half a bit, the same for those that make letters with the same lower halves.
const UPPER: [u8; 16] = {
    let mut bits = [0; 16];
    let (mut half, mut next) = (0, 1);
    while half < 16 {
        let mut other = 0;
        while wrong(other) != wrong(half) {
            other += 1;
        }
        bits[half] = if other == half { next } else { bits[other] };
        if other == half {
            // There are five kinds of upper halves: it never overflows.
            next *= 2;
        }
        half += 1;
    }
    bits
};

/// For each lower half the bits of the upper halves with which it makes no letter.
const LOWER: [u8; 16] = {
    let mut bits = [0; 16];
    let mut byte = 0;
    while byte < 256 {
        if TABLE[byte] >= 64 {
            bits[byte % 16] |= UPPER[byte / 16];
        }
        byte += 1;
    }
    bits
};

/// For each upper half what has to be added to a letter; for that of the slash, which it shares with
/// the plus, one lower, where no letters are.
const DISTANCE: [u8; 16] = {
    let mut distances = [0; 16];
    let mut byte = 0;
    while byte < 256 {
        if TABLE[byte] < 64 {
            let slash = (byte == b'/' as usize) as usize;
            distances[byte / 16 - slash] = TABLE[byte].wrapping_sub(byte as u8);
        }
        byte += 1;
    }
    distances
};

/// The lower halves that make no letter with an upper one, as bits.
const fn wrong(upper: usize) -> u16 {
    let (mut bits, mut lower) = (0, 0);
    while lower < 16 {
        if TABLE[upper * 16 + lower] >= 64 {
            bits |= 1 << lower;
        }
        lower += 1;
    }
    bits
}

/// What sixteen letters decode to, in the first bytes, and how many of them, from the first on, are of
/// the alphabet.
pub(super) fn decode(letters: &[u8; 16]) -> ([u8; 16], usize) {
    let letters = vector(letters);
    let (upper, lower) = (u8x16_shr(letters, 4), v128_and(letters, u8x16_splat(15)));
    let wrong = v128_and(
        i8x16_swizzle(vector(&UPPER), upper),
        i8x16_swizzle(vector(&LOWER), lower),
    );
    let known = u8x16_bitmask(i8x16_eq(wrong, i8x16_splat(0))).trailing_ones();
    // All ones is minus one.
    let slash = i8x16_eq(letters, i8x16_splat(b'/' as i8));
    let distance = i8x16_swizzle(vector(&DISTANCE), u8x16_add(upper, slash));
    let values = u8x16_add(letters, distance);
    // Two values of six bits make one of twelve, and two of those one of twenty-four.
    let firsts = i16x8_shl(v128_and(values, i16x8_splat(0x3f)), 6);
    let pairs = v128_or(firsts, u16x8_shr(values, 8));
    let quanta = i32x4_dot_i16x8(pairs, i16x8(1 << 12, 1, 1 << 12, 1, 1 << 12, 1, 1 << 12, 1));
    let bytes = i8x16_shuffle::<2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 3, 3, 3, 3>(quanta, quanta);
    let mut decoded = [0; 16];
    decoded[..8].copy_from_slice(&u64x2_extract_lane::<0>(bytes).to_le_bytes());
    decoded[8..].copy_from_slice(&u64x2_extract_lane::<1>(bytes).to_le_bytes());
    (decoded, known as usize)
}

const fn vector(bytes: &[u8; 16]) -> v128 {
    let [low, high] = *bytes.as_chunks::<8>().0 else {
        unreachable!()
    };
    u64x2(u64::from_le_bytes(low), u64::from_le_bytes(high))
}
