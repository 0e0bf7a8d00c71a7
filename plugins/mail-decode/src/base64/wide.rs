//! Sixteen letters at once, in the vector instructions of WebAssembly.

use core::arch::wasm32::{
    i8x16_eq, i8x16_gt, i8x16_lt, i8x16_shuffle, i8x16_splat, i16x8, i16x8_shl, i16x8_splat,
    i32x4_dot_i16x8, u8x16_add, u8x16_all_true, u16x8_shr, u64x2, u64x2_extract_lane, v128,
    v128_and, v128_or,
};

/// What sixteen letters decode to, in the first twelve bytes; none if one is not of the alphabet.
pub(super) fn sixteen(letters: [u8; 16]) -> Option<[u8; 16]> {
    let (&[low, high], _) = letters.as_chunks::<8>() else {
        return None;
    };
    let letters = u64x2(u64::from_le_bytes(low), u64::from_le_bytes(high));
    // Each letter and the range it is in have a constant distance.
    let upper = between(letters, b'A', b'Z');
    let lower = between(letters, b'a', b'z');
    let digit = between(letters, b'0', b'9');
    let plus = i8x16_eq(letters, i8x16_splat(b'+' as i8));
    let slash = i8x16_eq(letters, i8x16_splat(b'/' as i8));
    let known = v128_or(v128_or(v128_or(upper, lower), v128_or(plus, slash)), digit);
    if !u8x16_all_true(known) {
        return None;
    }
    let distance = |range, letter: u8, value: i8| {
        v128_and(range, i8x16_splat(value.wrapping_sub(letter as i8)))
    };
    let distances = v128_or(
        v128_or(distance(upper, b'A', 0), distance(lower, b'a', 26)),
        v128_or(
            v128_or(distance(plus, b'+', 62), distance(slash, b'/', 63)),
            distance(digit, b'0', 52),
        ),
    );
    let values = u8x16_add(letters, distances);
    // Two values of six bits make one of twelve, and two of those one of twenty-four.
    let firsts = i16x8_shl(v128_and(values, i16x8_splat(0x3f)), 6);
    let pairs = v128_or(firsts, u16x8_shr(values, 8));
    let quanta = i32x4_dot_i16x8(pairs, i16x8(1 << 12, 1, 1 << 12, 1, 1 << 12, 1, 1 << 12, 1));
    let bytes = i8x16_shuffle::<2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 3, 3, 3, 3>(quanta, quanta);
    let mut decoded = [0; 16];
    decoded[..8].copy_from_slice(&u64x2_extract_lane::<0>(bytes).to_le_bytes());
    decoded[8..].copy_from_slice(&u64x2_extract_lane::<1>(bytes).to_le_bytes());
    Some(decoded)
}

/// All ones where a byte is from `first` to `last`.
fn between(bytes: v128, first: u8, last: u8) -> v128 {
    v128_and(
        i8x16_gt(bytes, i8x16_splat(first as i8 - 1)),
        i8x16_lt(bytes, i8x16_splat(last as i8 + 1)),
    )
}
