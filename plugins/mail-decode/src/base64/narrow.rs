//! Sixteen letters, one after the other: for machines whose vector instructions are not used here.

use super::value;

/// What sixteen letters decode to, in the first bytes, and how many of them, from the first on, are of
/// the alphabet.
pub(super) fn decode(letters: &[u8; 16]) -> ([u8; 16], usize) {
    let mut decoded = [0; 16];
    let known = letters.iter().take_while(|byte| value(**byte).is_some());
    let known = known.count();
    for (quantum, target) in letters[..known].chunks(4).zip(decoded.chunks_mut(3)) {
        let letters = quantum.iter().filter_map(|byte| value(*byte));
        let bits = letters.fold(0, |bits, value| bits << 6 | u32::from(value));
        target.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    (decoded, known)
}
