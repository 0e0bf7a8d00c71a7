//! Clocks and randomness of a guest that come from [`Senses`] instead of the machine.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rand_core::TryRng;
use ring::digest::{SHA256, digest};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

use crate::outside::Senses;

/// Gives a guest these senses.
pub(crate) fn give(wasi: &mut WasiCtxBuilder, senses: &Arc<dyn Senses>) {
    let seed = senses.seed();
    let number = |at: usize| u128::from(seed[at]);
    let insecure = (0..16).fold(0, |sum, at| sum << 8 | number(at));
    wasi.wall_clock(Wall(Arc::clone(senses)))
        .monotonic_clock(Monotonic(Arc::clone(senses)))
        .secure_random(Stream::new(seed, 1))
        .insecure_random(Stream::new(seed, 2))
        .insecure_random_seed(insecure);
}

struct Wall(Arc<dyn Senses>);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0.wall()
    }
}

struct Monotonic(Arc<dyn Senses>);

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.0.monotonic()
    }
}

/// Numbers that follow from a seed and cannot be told from chance: hashes of it and a count.
struct Stream {
    key: [u8; 33],
    count: u64,
    block: [u8; 32],
    used: usize,
}

impl Stream {
    fn new(seed: [u8; 32], which: u8) -> Self {
        let mut key = [which; 33];
        key[..32].copy_from_slice(&seed);
        Self {
            key,
            count: 0,
            block: [0; 32],
            used: 32,
        }
    }

    fn byte(&mut self) -> u8 {
        if self.used == self.block.len() {
            let text = [&self.key[..], &self.count.to_le_bytes()].concat();
            self.block.copy_from_slice(digest(&SHA256, &text).as_ref());
            self.count += 1;
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(std::array::from_fn(|_| self.byte())))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(std::array::from_fn(|_| self.byte())))
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        into.fill_with(|| self.byte());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_others_give_others() {
        let numbers = |seed, which| {
            let mut stream = Stream::new([seed; 32], which);
            let mut bytes = [0; 40];
            stream.try_fill_bytes(&mut bytes).map(|()| bytes)
        };
        assert_eq!(numbers(1, 1), numbers(1, 1));
        assert_ne!(numbers(1, 1), numbers(2, 1));
        assert_ne!(numbers(1, 1), numbers(1, 2));
    }
}
