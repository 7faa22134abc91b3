//! What many thousands of series have many of: numbers of three bytes, and lists with little room to spare,
//! for a list that doubles would own as much again as it uses.

use serde::{Deserialize, Serialize};

/// A number in single precision without the last eight bits, to the nearest: off by 1 part in 65,536 at most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Rough([u8; 3]);

impl Rough {
    pub fn new(x: f64) -> Rough {
        let [_, a, b, c] = (x as f32).to_bits().saturating_add(0x80).to_le_bytes();
        Rough([a, b, c])
    }

    pub fn get(self) -> f64 {
        let [a, b, c] = self.0;
        f64::from(f32::from_le_bytes([0, a, b, c]))
    }
}

/// Places for which room is made at once.
const ROOM: usize = 4;

/// Puts a value at the end.
pub(super) fn push<T>(list: &mut Vec<T>, value: T) {
    insert(list, list.len(), value);
}

/// Puts a value at a place.
pub(super) fn insert<T>(list: &mut Vec<T>, at: usize, value: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(ROOM);
    }
    list.insert(at, value);
}

/// Memory in bytes that such a list of this length owns at most while it grows. By its length and not by what it
/// was given: that is not the same after a restore.
pub(super) fn bytes<T>(list: &[T]) -> usize {
    size_of::<T>() * (list.len() + ROOM - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rough_number_keeps_sixteen_bits() {
        for x in [0.0, 1.0, -1.0, 1234.567, -1e30, 1e-30, 2e30, f64::from(f32::MIN_POSITIVE)] {
            let kept = Rough::new(x).get();
            assert!((kept - x).abs() <= x.abs() / 65_536.0, "{x} became {kept}");
        }
    }

    #[test]
    fn a_list_owns_what_is_said() {
        let mut list = Vec::new();
        for n in 0..100_u16 {
            insert(&mut list, usize::from(n / 2), n);
            assert!(size_of::<u16>() * list.capacity() <= bytes(&list));
        }
    }
}
