//! Lists of certificates that their authorities have revoked.

use std::cmp::Reverse;
use std::sync::Arc;

use claw_crds::compile::{InvalidRevocationList, revocation_lists};
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

/// The lists of a configuration.
#[derive(Default)]
pub(super) struct RevocationLists {
    /// The newest first: of several of one issuer, the first that is found counts.
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    /// When each was to be followed by another.
    pub(super) ends: Vec<Timestamp>,
}

/// One of them cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("identities.clientCertificates.revocationLists[{index}]: give PEM revocation lists")]
pub struct InvalidList {
    index: usize,
    source: InvalidRevocationList,
}

impl RevocationLists {
    pub(super) fn read(texts: &[String], roots: &Arc<RootCertStore>) -> Result<Self, InvalidList> {
        let mut dated = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let invalid = |source| InvalidList { index, source };
            let lists = revocation_lists(text, roots).map_err(invalid)?;
            for list in lists {
                let life = life(&list).ok_or(InvalidRevocationList::Undated);
                let (begin, end) = life.map_err(invalid)?;
                dated.push((begin, end, list));
            }
        }
        dated.sort_by_key(|(begin, _, _)| Reverse(*begin));
        Ok(Self {
            ends: dated.iter().map(|(_, end, _)| *end).collect(),
            lists: dated.into_iter().map(|(_, _, list)| list).collect(),
        })
    }
}

/// From when on it counts, and when it was to be followed by another.
fn life(list: &CertificateRevocationListDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, parsed) = CertificateRevocationList::from_der(list).ok()?;
    let begin = Timestamp::from_second(parsed.last_update().timestamp()).ok()?;
    let end = Timestamp::from_second(parsed.next_update()?.timestamp()).ok()?;
    Some((begin, end))
}
