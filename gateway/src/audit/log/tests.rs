//! Chains that are written, left, damaged and taken up again.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::audit::verify::{ChainReport, verify};

const KEEP: Keep<'static> = Keep {
    days: 180,
    sinks: &[],
    is_archived: false,
};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn open(&self) -> Log {
        Log::open(self.0.path(), 2000).expect("opens")
    }

    fn segments(&self) -> Vec<Segment> {
        Segment::list(&self.0.path().join("chain-0")).expect("listed")
    }

    fn newest(&self) -> PathBuf {
        self.segments().pop().expect("a segment").path
    }

    fn verify(&self) -> ChainReport {
        verify(self.0.path()).expect("readable").remove(0)
    }

    /// The actions on record.
    fn actions(&self) -> Vec<String> {
        let mut actions = Vec::new();
        for segment in self.segments() {
            for line in segment.lines(0).expect("opens") {
                let value: serde_json::Value =
                    serde_json::from_slice(&line.expect("a line")).expect("JSON");
                actions.push(value["event.action"].as_str().expect("text").to_owned());
            }
        }
        actions
    }
}

fn at(day: &str) -> Timestamp {
    format!("{day}T12:00:00Z").parse().expect("a time")
}

fn fill(log: &mut Log, day: &str, batches: usize) {
    for _ in 0..batches {
        for event in [Event::Stopped, Event::Disabled] {
            log.append(&Record { at: at(day), event });
        }
        log.commit().expect("written");
    }
}

#[test]
fn a_chain_goes_on_over_segments_days_and_restarts() {
    let folder = Folder::new();
    let mut log = folder.open();
    fill(&mut log, "2026-02-03", 10);
    fill(&mut log, "2026-02-04", 1);
    drop(log);
    let mut log = folder.open();
    fill(&mut log, "2026-02-04", 2);
    log.write_manifest().expect("written");
    let segments = folder.segments();
    let days: std::collections::BTreeSet<_> = segments.iter().map(|segment| segment.day).collect();
    assert!(days.len() == 2 && segments.len() > 3, "{segments:?}");
    drop(log);
    let report = folder.verify();
    assert_eq!((report.records, report.last), (26, 26));
    assert_eq!(report.faults, []);
}

#[test]
fn half_a_line_is_cut_and_recorded() {
    let folder = Folder::new();
    let mut log = folder.open();
    fill(&mut log, "2026-02-03", 1);
    drop(log);
    let whole = std::fs::read(folder.newest()).expect("read");
    std::fs::write(folder.newest(), [&whole[..], &whole[..100]].concat()).expect("written");
    let report = folder.verify();
    assert_eq!((report.torn_bytes, report.faults), (100, Vec::new()));
    let mut log = folder.open();
    fill(&mut log, "2026-02-03", 1);
    drop(log);
    assert!(folder.actions().contains(&"audit-repaired".to_owned()));
    let report = folder.verify();
    assert_eq!((report.records, report.torn_bytes), (5, 0));
    assert_eq!(report.faults, []);
}

#[test]
fn every_flipped_byte_is_found_where_it_is() {
    let folder = Folder::new();
    let mut log = folder.open();
    fill(&mut log, "2026-02-03", 2);
    log.write_manifest().expect("written");
    drop(log);
    let path = folder.newest();
    let whole = std::fs::read(&path).expect("read");
    let mut line = 1;
    for index in 0..whole.len() {
        let mut altered = whole.clone();
        altered[index] ^= 1;
        std::fs::write(&path, &altered).expect("written");
        let report = folder.verify();
        let first = report.faults.first().expect("a fault");
        let found = (&first.file, first.line, first.sequence);
        assert_eq!(
            found,
            (&path, Some(line), Some(line)),
            "byte {index}: {report:?}"
        );
        line += u64::from(whole[index] == b'\n');
    }
}

#[test]
fn a_tail_that_was_cut_off_is_missed_before_and_after_a_restart() {
    let folder = Folder::new();
    let mut log = folder.open();
    fill(&mut log, "2026-02-03", 2);
    log.write_manifest().expect("written");
    drop(log);
    let text = std::fs::read_to_string(folder.newest()).expect("read");
    let half: String = text.split_inclusive('\n').take(2).collect();
    std::fs::write(folder.newest(), half).expect("written");
    assert!(folder.verify().faults[0].what.contains("cut off"));
    let mut log = folder.open();
    fill(&mut log, "2026-02-03", 1);
    drop(log);
    let report = folder.verify();
    assert_eq!(report.faults.len(), 1, "{report:?}");
    let fault = &report.faults[0];
    assert!(fault.what.contains("records 3 to 4 are missing"), "{fault}");
    assert!(folder.actions().contains(&"audit-tail-missing".to_owned()));
}

#[test]
fn a_segment_or_a_manifest_that_is_gone_is_missed() {
    let folder = Folder::new();
    let mut log = folder.open();
    fill(&mut log, "2026-02-03", 10);
    log.write_manifest().expect("written");
    drop(log);
    for segment in folder.segments() {
        let content = std::fs::read(&segment.path).expect("read");
        std::fs::remove_file(&segment.path).expect("removed");
        assert_eq!(folder.verify().faults.len(), 1, "{}", segment.name());
        std::fs::write(&segment.path, content).expect("put back");
    }
    assert_eq!(folder.verify().faults, []);
    std::fs::remove_file(Manifest::path(&folder.0.path().join("chain-0"))).expect("removed");
    assert_eq!(folder.verify().faults.len(), 1);
    let mut log = folder.open();
    log.commit().expect("written");
    drop(log);
    assert!(
        folder
            .actions()
            .contains(&"audit-manifest-missing".to_owned())
    );
}

#[test]
fn a_failed_write_leaves_nothing_and_is_tried_again() {
    let folder = Folder::new();
    let mut log = folder.open();
    fill(&mut log, "2026-02-03", 1);
    // What half a write would leave.
    let open = log.open.as_mut().expect("open");
    let half = open.file.write_all_at(&[b'x'; 10_000], open.length);
    half.expect("written");
    open.is_dirty = true;
    fill(&mut log, "2026-02-03", 1);
    drop(log);
    let report = folder.verify();
    assert_eq!((report.records, report.faults), (4, Vec::new()));
}

#[test]
fn only_what_is_older_than_the_retention_is_deleted() {
    let folder = Folder::new();
    let mut log = folder.open();
    for day in ["2026-02-03", "2026-02-04", "2026-08-01"] {
        fill(&mut log, day, 1);
    }
    let mut prune = |today: &str| {
        log.prune(today.parse().expect("a day"), &KEEP)
            .expect("pruned");
        folder.segments()
    };
    assert_eq!(prune("2026-08-02").len(), 3, "180 days after February 3");
    let left = prune("2026-08-03");
    assert!(left.iter().all(|segment| segment.first > 2), "{left:?}");
    assert_eq!(
        prune("2027-08-04").len(),
        1,
        "the one that is written stays"
    );
    log.write_manifest().expect("written");
    drop(log);
    assert_eq!(folder.verify().faults, []);
    let actions = folder.actions();
    assert_eq!(actions.last().map(String::as_str), Some("audit-pruned"));
}

#[test]
fn what_a_sink_never_got_is_recorded_before_it_is_deleted() {
    let folder = Folder::new();
    let mut log = folder.open();
    for day in ["2026-02-03", "2026-02-04", "2026-08-20"] {
        fill(&mut log, day, 1);
    }
    for (sink, delivered) in [("far", 3), ("near", 4)] {
        let cursor = Cursor {
            delivered,
            ..Cursor::default()
        };
        cursor.write(log.directory(), sink).expect("written");
    }
    let sinks = ["far", "near", "new"].map(str::to_owned);
    let keep = Keep {
        sinks: &sinks,
        ..KEEP
    };
    log.prune("2026-08-20".parse().expect("a day"), &keep)
        .expect("pruned");
    let newest = std::fs::read_to_string(folder.newest()).expect("text");
    let lost: Vec<_> = newest
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter(|record| record["event.action"] == "audit-lost")
        .map(|record| {
            let number = |name: &str| record[name].as_u64().expect("a number");
            let sink = record["claw.audit.sink"].as_str().expect("text").to_owned();
            (
                sink,
                number("claw.audit.lost_from"),
                number("claw.audit.lost_through"),
            )
        })
        .collect();
    assert_eq!(lost, [("far".to_owned(), 4, 4), ("new".to_owned(), 1, 4)]);
    assert_eq!(folder.verify().faults, []);
}

#[test]
fn what_is_to_be_archived_stays_until_it_is() {
    let folder = Folder::new();
    let mut log = folder.open();
    for day in ["2026-02-03", "2026-02-04", "2026-08-20"] {
        fill(&mut log, day, 1);
    }
    let keep = Keep {
        is_archived: true,
        ..KEEP
    };
    let prune = |log: &mut Log| {
        log.prune("2026-08-20".parse().expect("a day"), &keep)
            .expect("pruned");
        folder.segments()[0].first
    };
    assert_eq!(prune(&mut log), 1);
    let mut archived = Archived::read_or_begin(log.directory(), "s3").expect("begun");
    archived.last.sequence = 2;
    archived.write(log.directory()).expect("written");
    assert_eq!(prune(&mut log), 3);
    assert_eq!(folder.verify().faults, []);
}

#[test]
fn a_segment_is_closed_when_its_day_is_over_or_it_is_full() {
    let folder = Folder::new();
    let day = |text: &str| text.parse::<Date>().expect("a day");
    let mut log = folder.open();
    log.close();
    fill(&mut log, "2026-02-03", 1);
    log.close_over(day("2026-02-03"));
    assert_eq!(log.closed(), 0);
    log.close_over(day("2026-02-04"));
    assert_eq!(log.closed(), 2);
    fill(&mut log, "2026-02-04", 1);
    while log.closed() == 2 {
        fill(&mut log, "2026-02-04", 1);
        log.close_over(day("2026-02-04"));
    }
    assert_eq!(log.closed(), log.committed().sequence);
    fill(&mut log, "2026-02-04", 1);
    log.close();
    log.write_manifest().expect("written");
    assert_eq!(log.closed(), log.committed().sequence);
    assert_eq!(folder.segments().len(), 3);
    assert_eq!(folder.verify().faults, []);
}

#[test]
fn an_archived_segment_is_not_gone_on_with() {
    let folder = Folder::new();
    let mut log = folder.open();
    fill(&mut log, "2026-02-03", 1);
    let chain = log.directory().to_owned();
    let mut archived = Archived::read_or_begin(&chain, "s3").expect("begun");
    archived.last = log.committed();
    drop(log);
    archived.write(&chain).expect("written");
    let mut log = folder.open();
    fill(&mut log, "2026-02-03", 1);
    drop(log);
    assert_eq!(folder.segments().len(), 2);
    // That one is not in the archive.
    let mut log = folder.open();
    fill(&mut log, "2026-02-03", 1);
    drop(log);
    assert_eq!(folder.segments().len(), 2);
    assert_eq!(folder.verify().faults, []);
}
