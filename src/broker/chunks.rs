//! A line that may get very long: its memory comes and goes in pieces, so that neither growing nor
//! giving back takes longer than a moment.

use std::collections::VecDeque;

/// So many stand in one piece.
const CHUNK: usize = 1024;

/// First in, first out.
#[derive(Debug)]
pub struct Chunks<T> {
    /// Each but the last one had `CHUNK` in it; none is empty.
    chunks: VecDeque<VecDeque<T>>,
    /// So many were taken out of the first one.
    taken: usize,
    len: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), taken: 0, len: 0 }
    }
}

impl<T> Chunks<T> {
    /// Puts one at the end.
    pub fn push_back(&mut self, one: T) {
        let place = (self.taken + self.len) % CHUNK;
        self.len += 1;
        match self.chunks.back_mut().filter(|_| place > 0) {
            Some(chunk) => chunk.push_back(one),
            None => self.chunks.push_back(VecDeque::from([one])),
        }
    }

    /// Takes the first one.
    pub fn pop_front(&mut self) -> Option<T> {
        let chunk = self.chunks.front_mut()?;
        let one = chunk.pop_front();
        let is_empty = chunk.is_empty();
        (self.taken, self.len) = (self.taken + 1, self.len - 1);
        if is_empty {
            self.chunks.pop_front();
            self.taken = 0;
        }
        one
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The one at this place, counted from the first.
    pub fn get(&self, index: usize) -> Option<&T> {
        let place = self.taken + index;
        let in_first = if place < CHUNK { self.taken } else { 0 };
        self.chunks.get(place / CHUNK)?.get(place % CHUNK - in_first)
    }

    /// All, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// All from this place on.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = &T> {
        (index..self.len).filter_map(|index| self.get(index))
    }
}

impl<T> Iterator for Chunks<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.pop_front()
    }
}

impl<T> Extend<T> for Chunks<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, more: I) {
        more.into_iter().for_each(|one| self.push_back(one));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_line_like_any_other() {
        let (mut line, mut twin) = (Chunks::default(), VecDeque::new());
        let mut random = 1u64;
        for step in 0..30_000u64 {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            // Long, then short, then long again.
            if (random >> 33) % 100 < [70, 20, 50][(step / 5000 % 3) as usize] {
                line.push_back(step);
                twin.push_back(step);
            } else {
                assert_eq!(line.pop_front(), twin.pop_front());
            }
            assert_eq!((line.len(), line.is_empty()), (twin.len(), twin.is_empty()));
            let index = (random >> 40) as usize % (twin.len() + 2);
            assert_eq!(line.get(index), twin.get(index));
            if step % 500 == 0 {
                assert!(line.iter().eq(&twin) && line.iter_from(index).eq(twin.iter().skip(index)));
            }
        }
    }
}
