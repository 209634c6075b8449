//! How does a large body get into the log without being held in memory? In pieces, each a record of
//! its own, written straight from where it arrived, in log order. Nothing is reserved for what is
//! still to come. A piece keeps its segment alive until its holder gives it back and the last
//! record that tells of it is settled.

use super::ring::{Ids, Rank, Ring};
use crate::storage::log::publication::LargeBody;
use crate::storage::record::message::Piece;
use crate::storage::record::{self, HEAD_BYTES, Kind, MARK_BYTES, in_file, padded};
use crate::storage::types::AppendError;

/// Portions smaller than this wait for more, so that a body has no more pieces than it needs.
const PIECE_BYTES_MIN: usize = 32 * 1024;
/// A piece is not longer than this, nor than an eighth of a segment.
const PIECE_BYTES_MAX: usize = 256 * 1024;
/// Bodies of more than this lie in pieces: one record does not take much of a segment.
const INLINE_BYTES_MAX: usize = 128 * 1024;

impl LargeBody {
    /// A body of which nothing has arrived yet.
    pub(in crate::storage) fn new(durable: bool, bytes: u64) -> LargeBody {
        LargeBody { durable, bytes, arrived: 0, waiting: Vec::new(), pieces: Vec::new() }
    }
}

impl Ring {
    /// The longest body that lies within its message's record.
    pub(in crate::storage) fn inline_bytes_max(&self) -> usize {
        INLINE_BYTES_MAX.min(self.segment_bytes as usize / 8)
    }

    fn piece_bytes_max(&self) -> usize {
        PIECE_BYTES_MAX.min(self.segment_bytes as usize / 8)
    }

    /// Takes the next part of a body. What finds no room waits in memory.
    pub(in crate::storage) fn add_to_body(&mut self, body: &mut LargeBody, chunk: &[u8], ids: Ids) {
        assert!(chunk.len() as u64 <= body.missing_bytes(), "a body is not longer than announced");
        body.arrived += chunk.len() as u64;
        let mut rest = chunk;
        if body.waiting.is_empty() && chunk.len() >= PIECE_BYTES_MIN.min(self.piece_bytes_max()) {
            rest = self.write_pieces(&mut body.pieces, chunk, ids);
        }
        body.waiting.extend_from_slice(rest);
        if body.waiting.len() >= self.piece_bytes_max() {
            self.write_waiting(body, ids);
        }
    }

    /// Writes what waits of a body, as far as there is room. What is left is tried again with the
    /// next part; of a complete body it refuses the publication.
    pub(in crate::storage) fn write_waiting(&mut self, body: &mut LargeBody, ids: Ids) {
        let waiting = std::mem::take(&mut body.waiting);
        let left = self.write_pieces(&mut body.pieces, &waiting, ids).len();
        if left > 0 {
            body.waiting = waiting;
            body.waiting.drain(..body.waiting.len() - left);
        }
    }

    /// Writes pieces, each held once; what found no room is given back.
    fn write_pieces<'a>(&mut self, pieces: &mut Vec<Piece>, bytes: &'a [u8], ids: Ids) -> &'a [u8] {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.piece_bytes_max()));
            match self.write_piece(now, Rank::Publish, ids) {
                Ok(piece) => pieces.push(piece),
                Err(AppendError::Full | AppendError::TooLarge) => break,
            }
            rest = later;
        }
        rest
    }

    /// Writes one piece, which is held once.
    pub(in crate::storage) fn write_piece(
        &mut self,
        content: &[u8],
        rank: Rank,
        ids: Ids,
    ) -> Result<Piece, AppendError> {
        let bytes = HEAD_BYTES + content.len();
        // With what gathered before it, which is written first, may go a mark.
        let need = padded(bytes) + padded(MARK_BYTES);
        let index = self.make_room(need, rank, ids)?;
        let mut head = record::head(Kind::Piece, in_file(bytes), 0, [0; 2]);
        let offset = self.write_record(index, &mut head, content)?;
        let segment = self.segment_mut(index);
        segment.live += 1;
        segment.holds += 1;
        segment.pieces += 1;
        segment.piece_bytes += in_file(padded(bytes));
        Ok(Piece {
            sequence: segment.sequence,
            offset: offset + in_file(HEAD_BYTES),
            bytes: in_file(content.len()),
        })
    }

    /// Copies bytes from elsewhere into pieces; all or none.
    pub(in crate::storage) fn copy_to_pieces<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a [u8]>,
        ids: Ids,
    ) -> Result<Vec<Piece>, AppendError> {
        let mut pieces = Vec::new();
        for part in parts {
            if !self.write_pieces(&mut pieces, part, ids).is_empty() {
                pieces.iter().for_each(|piece| self.let_go(piece.sequence));
                return Err(AppendError::Full);
            }
        }
        Ok(pieces)
    }
}
