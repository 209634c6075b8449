//! Do records read back, and does nothing else pass for one?

use super::draft::{Draft, DraftBody, DraftDefinition};
use super::message::{Message, Piece};
use super::statement::{Inventory, Range, SETTLED, State, Statement};
use super::*;
use crate::storage::types::{MessageId, QueueId};

const SALT: u64 = 0x0123_4567_89ab_cdef;

fn draft<'a>(queues: &'a [QueueId], body: DraftBody<'a>) -> Draft<'a> {
    Draft {
        exchange: b"exchange",
        routing_key: b"key",
        properties: b"properties",
        body,
        published_ms: 1,
        expiry_ms: 2,
        queues,
        replaces: Some(OldSlot { sequence: 77, slot: 5 }),
        defines: Some((b"name", b"payload")),
        relocated: true,
    }
}

fn encoded(draft: &Draft<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes = draft.record_bytes().unwrap();
    draft.encode(&mut out, bytes, MessageId(9), 3);
    seal(&mut out[..bytes as usize], SALT, 4096);
    out
}

#[test]
fn a_message_reads_back_with_everything_it_can_have() {
    let queues = [QueueId(1), QueueId(NUMBER_MAX)];
    let pieces = [3, 1].map(|bytes| Piece { sequence: 6, offset: 8192, bytes });
    for body in [DraftBody::Inline(b"body"), DraftBody::Pieces(&pieces)] {
        let out = encoded(&draft(&queues, body));
        let frame = read(&out, SALT, 4096).unwrap();
        assert_eq!((frame.kind, frame.span as usize), (Kind::Message, out.len()));
        let (offset, message) = frame.messages().next().unwrap();
        assert_eq!((offset, frame.messages().count()), (0, 1));
        assert_eq!((message.id(), message.first_slot()), (MessageId(9), 3));
        assert_eq!((message.published_ms(), message.expiry_ms()), (1, 2));
        assert_eq!(message.replaces(), Some(OldSlot { sequence: 77, slot: 5 }));
        assert!(message.is_relocated());
        assert_eq!((message.queue_count(), message.slot_count()), (2, 3));
        assert_eq!(message.queue(1), QueueId(NUMBER_MAX));
        assert_eq!(message.definition(), Some((&b"name"[..], &b"payload"[..])));
        assert_eq!(message.body_bytes(), 4);
        assert_eq!(message.exchange(), b"exchange");
        assert_eq!(
            (message.routing_key(), message.properties()),
            (&b"key"[..], &b"properties"[..])
        );
        match body {
            DraftBody::Inline(body) => assert_eq!(message.inline_body(), body),
            DraftBody::Pieces(pieces) => {
                assert!(message.pieces().eq(pieces.iter().copied()));
                assert_eq!(message.inline_body(), b"");
            }
        }
    }
}

#[test]
fn a_definition_reads_back() {
    for replaces in [None, Some(OldSlot { sequence: u64::MAX, slot: 7 })] {
        let draft = DraftDefinition { id: 4, next_queue: 5, key: b"k", payload: b"pay", replaces };
        let mut out = Vec::new();
        let bytes = draft.record_bytes().unwrap();
        draft.encode(&mut out, bytes, 6);
        seal(&mut out[..bytes as usize], SALT, 8);
        let definition = read(&out, SALT, 8).unwrap().definition().unwrap();
        assert_eq!((definition.id(), definition.next_queue(), definition.slot()), (4, 5, 6));
        assert_eq!((definition.key(), definition.payload()), (&b"k"[..], &b"pay"[..]));
        assert_eq!(definition.replaces(), replaces);
    }
}

#[test]
fn a_record_counts_only_where_and_when_it_was_written_and_as_a_whole() {
    let out = encoded(&draft(&[QueueId(1)], DraftBody::Inline(b"body")));
    assert!(read(&out, SALT, 4096).is_some());
    for bit in 0..64 {
        assert!(read(&out, SALT ^ (1 << bit), 4096).is_none(), "another life, bit {bit}");
    }
    for offset in (0..1 << 16).step_by(8).filter(|offset| *offset != 4096) {
        assert!(read(&out, SALT, offset).is_none(), "another place");
    }
    for length in 0..out.len() {
        assert!(read(&out[..length], SALT, 4096).is_none());
    }
    let length = u32_at(&out, 0) as usize;
    for bit in 0..length * 8 {
        let mut flipped = out.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped, SALT, 4096).is_none(), "bit {bit}");
    }
}

#[test]
fn whatever_the_bytes_are_nothing_panics() {
    let mut number = 88_172_645_463_325_252_u64;
    let pieces = [Piece { sequence: 6, offset: 8192, bytes: 4 }];
    let mut seeds = vec![
        encoded(&draft(&[QueueId(1)], DraftBody::Inline(b"body"))),
        encoded(&draft(&[QueueId(1)], DraftBody::Pieces(&pieces))),
    ];
    for kind in [Kind::Settle, Kind::State, Kind::Inventory, Kind::Definition, Kind::Transaction] {
        let mut out = Vec::new();
        draft::plain(&mut out, kind, &[3; 100]);
        seeds.push(out);
    }
    for mut out in seeds {
        for _ in 0..20_000 {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            let at = usize::try_from(number % out.len() as u64).unwrap();
            out[at] = number.to_le_bytes()[7];
            // With a right crc only the structure can be wrong.
            let Some(found) = frame(&out) else { continue };
            let length = found.bytes.len();
            seal(&mut out[..length], SALT, 4096);
            let Some(found) = read(&out, SALT, 4096) else { continue };
            for (_, message) in found.messages() {
                assert!(message.exchange().len() < 256);
                assert!(message.pieces().count() < 100 && message.inline_body().len() < 200);
                assert!(message.definition().is_none_or(|(key, _)| key.len() < 200));
            }
            assert!(found.statement().is_none_or(|said| said.count() < 200));
            assert!(found.definition().is_none_or(|found| found.key().len() < 200));
        }
    }
}

#[test]
fn a_statement_reads_back_and_a_thousand_acks_are_a_dozen_bytes() {
    let range = |sequence, first, count, state| Range { sequence, first, count, state };
    let ranges = [
        range(3, 0, 1, SETTLED),
        range(3, 1, 5, 7),
        range(3, 900, u32::MAX - 1000, SETTLED),
        range(u64::MAX, 4, 1, SETTLED),
    ];
    let mut out = Vec::new();
    statement::encode(&mut out, &ranges);
    assert!(Statement::read(&out).unwrap().eq(ranges));
    for length in 1..out.len() {
        let part = Statement::read(&out[..length]);
        assert!(part.is_none_or(|part| part.count() < ranges.len()));
    }
    out.clear();
    statement::encode(&mut out, &[range(1 << 40, 70_000, 1000, SETTLED)]);
    assert!(out.len() <= 12, "{}", out.len());
}

#[test]
fn the_state_of_all_slots_reads_back_in_either_form() {
    let runs: Vec<u8> = [vec![SETTLED; 5000], vec![0; 300], vec![3; 2], vec![SETTLED; 1]].concat();
    let mixed: Vec<u8> = (0..5000u32).map(|n| [SETTLED, 0, SETTLED, 1][n as usize % 4]).collect();
    for slots in [vec![], vec![0], runs, mixed] {
        let mut out = Vec::new();
        statement::encode_state(&mut out, 12, &slots);
        let state = State::read(&out).unwrap();
        assert_eq!(state.sequence, 12);
        let mut found = vec![99; slots.len()];
        assert!(state.each(&mut |first, count, value| found[first..first + count].fill(value)));
        assert_eq!(found, slots);
        for length in 0..out.len() {
            assert!(State::read(&out[..length]).is_none_or(|part| part.sequence == 12));
        }
    }
}

/// The broker ended when it went on counting, or asked for memory for all slots before one.
#[test]
fn a_record_with_a_number_that_nobody_counts_to_is_none() {
    let sealed = |queue: u64, id: u64, first_slot: u32| {
        let mut out = Vec::new();
        let queues = [QueueId(queue)];
        let draft = draft(&queues, DraftBody::Inline(b"body"));
        let bytes = draft.record_bytes().unwrap();
        draft.encode(&mut out, bytes, MessageId(id), first_slot);
        seal(&mut out[..bytes as usize], SALT, 4096);
        read(&out, SALT, 4096).is_some()
    };
    assert!(sealed(NUMBER_MAX, NUMBER_MAX, 512));
    assert!(!sealed(NUMBER_MAX + 1, 1, 0));
    assert!(!sealed(1, NUMBER_MAX + 1, 0));
    assert!(!sealed(1, 1, 5000));
    assert_eq!(Inventory::read(&[1, 0xff, 0xff, 0x7f]), None);
}

#[test]
fn an_inventory_names_what_is_in_use() {
    let mut out = Vec::new();
    statement::encode_inventory(&mut out, &[1, 2, 3, 7, 9, 10, NUMBER_MAX - 1]);
    let inventory = Inventory::read(&out).unwrap();
    assert_eq!(inventory.in_use, [(1, 3), (7, 1), (9, 2), (NUMBER_MAX - 1, 1)]);
}

#[test]
fn a_message_is_found_at_the_start_of_longer_bytes() {
    let mut out = encoded(&draft(&[QueueId(1)], DraftBody::Inline(b"body")));
    out.extend_from_slice(&[1; 100]);
    assert_eq!(Message::at_start_of(&out).inline_body(), b"body");
}
