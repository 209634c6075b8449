//! Which certificates go along with one's own?

use rustls::pki_types::CertificateDer;

use super::names::is_issued_by;

/// So many certificates are added to a chain at most.
const ADDED_MAX: usize = 10;

/// Adds those of `others` that lead from the end of `chain` to a root, which itself is not sent.
pub fn complete(chain: &mut Vec<CertificateDer<'static>>, others: &[CertificateDer<'static>]) {
    for _ in 0..ADDED_MAX {
        let Some(last) = chain.last() else {
            return;
        };
        let is_next = |other: &&CertificateDer<'static>| {
            is_issued_by(last, other) && !is_issued_by(other, other) && !chain.contains(other)
        };
        if is_issued_by(last, last) {
            return;
        }
        let Some(next) = others.iter().find(is_next) else {
            return;
        };
        chain.push(next.clone());
    }
}
