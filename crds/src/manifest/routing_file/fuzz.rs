//! Any routing file: taken, or refused with at least one reason.

use super::parse_routing_file;

fn read(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Err(faults) = parse_routing_file(text) {
        assert!(
            !faults.is_empty() && faults.iter().all(|fault| !fault.is_empty()),
            "{text}"
        );
    }
}

#[test]
fn routing_files() {
    bolero::check!(name = "routing_files").for_each(read);
}

#[test]
fn every_beginning_of_a_file_is_read_or_refused() {
    let whole = include_bytes!("__fuzz__/routing_files/corpus/rules.yaml");
    for end in 0..whole.len() {
        read(&whole[..end]);
    }
}
