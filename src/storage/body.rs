//! How does a large body get into the log without being held in memory? Its space is reserved in a
//! segment, and it is written there as it arrives. The space keeps its segment alive until the
//! holder gives it back and the last record that tells of it is settled.

use super::encode;
use super::log::{Ids, Ring};
use super::record::{Place, SPACE_BYTES, in_file, padded};
use super::types::{AppendError, ParkedBody, StorageError};

impl Ring {
    /// Reserves space for a body, which may take the last spare if it is privileged.
    pub(super) fn park_body(
        &mut self,
        bytes: u64,
        privileged: bool,
        ids: Ids,
    ) -> Result<ParkedBody, AppendError> {
        let bytes = u32::try_from(bytes).map_err(|_| AppendError::TooLarge)?;
        let span = padded(SPACE_BYTES + bytes as usize);
        let index = self.make_room(span, privileged, ids)?;
        let offset = self.append_plain(index, SPACE_BYTES, |out| encode::encode_space(out, bytes));
        self.skip(index, in_file(span - SPACE_BYTES));
        let segment = self.segment_mut(index);
        segment.live += 1;
        segment.bodies += 1;
        segment.spaces += 1;
        segment.space_bytes += in_file(span);
        Ok(ParkedBody {
            segment: self.key(index),
            offset: offset + in_file(SPACE_BYTES),
            bytes,
            written: 0,
            crc: crc32fast::Hasher::new(),
        })
    }

    /// Writes the next part of a body to its place.
    pub(super) fn park(&mut self, body: &mut ParkedBody, chunk: &[u8]) -> Result<(), StorageError> {
        let missing = (body.bytes - body.written) as usize;
        assert!(chunk.len() <= missing, "a body is not longer than announced");
        let index = body.segment.index();
        let segment = self.segment(index);
        if let Err(error) = segment.file.write(chunk, body.offset + body.written) {
            self.failure = Some(StorageError::AlreadyFailed);
            return Err(error);
        }
        if self.durable_ring {
            body.crc.update(chunk);
        }
        body.written += in_file(chunk.len());
        self.written.writes += 1;
        self.written.bytes += chunk.len() as u64;
        self.mark_unsynced(index);
        Ok(())
    }

    /// What was written of a body.
    pub(super) fn parked_body(&self, body: &ParkedBody) -> &[u8] {
        let segment = self.segment(body.segment.index());
        segment.map.slice(body.offset, body.offset + body.written)
    }

    /// The place of a complete body, as a record tells of it.
    pub(super) fn place_of(&self, body: &ParkedBody) -> Place {
        assert!(body.is_complete(), "a body counts only when it is complete");
        let index = body.segment.index();
        let sequence = self.segment(index).sequence;
        Place { sequence, offset: body.offset, crc: body.crc.clone().finalize() }
    }
}
