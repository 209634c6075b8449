//! What a proxy says before its client speaks: found as soon as it is whole, and never read in two
//! ways.

use leveret::net::proxy::{HEADER_BYTES_MAX, Header, parse};

pub fn run(input: &[u8]) {
    let end = input.len().min(HEADER_BYTES_MAX + 1);
    let mut verdict = None;
    for bytes in 0..=end {
        let found = parse(&input[..bytes]);
        match (verdict, found) {
            (None, Ok(Header::Incomplete)) => assert!(bytes < HEADER_BYTES_MAX, "it waits on"),
            (None, Ok(Header::Complete(_, header))) => {
                assert_eq!(header, bytes, "a whole header waits for nothing");
                verdict = Some(found);
            }
            (None, Err(_)) => verdict = Some(found),
            // What follows changes nothing.
            (Some(verdict), found) => assert_eq!(verdict, found),
        }
    }
}
