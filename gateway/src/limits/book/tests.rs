use super::super::meter::{Meter, Subject};
use super::*;

const LIMIT: i64 = 1000;
/// Some time in 2026, the first second of a minute.
const NOW: i64 = 1_790_000_040_000;

fn need(amount: i64) -> Need {
    Need {
        key: BudgetKey {
            subject: Subject::Gateway,
            meter: Meter::TokensPerMinute,
        },
        limit: LIMIT,
        amount,
    }
}

/// A book with so much free, of which the database knows.
fn book(free: i64) -> Book {
    let mut book = Book::default();
    assert_eq!(give(&mut book, 1), Attempt::Ask);
    let line = line(&mut book);
    let verdict = Verdict {
        extra: free,
        available: LIMIT - free,
        ..Verdict::default()
    };
    book.apply(&line, &verdict);
    book
}

fn give(book: &mut Book, amount: i64) -> Attempt {
    book.give(&[need(amount)], NOW, &TimeZone::UTC)
}

fn given(book: &mut Book, amount: i64) -> Hold {
    match give(book, amount) {
        Attempt::Given(holds) => holds[0].clone(),
        other => panic!("{other:?}"),
    }
}

fn line(book: &mut Book) -> Line {
    let lines = book.lines(&[need(0).key], true);
    assert_eq!(lines.len(), 1);
    lines[0].clone()
}

fn taken(line: &Line) -> (i64, i64) {
    (line.spent, line.held)
}

#[test]
fn giving_takes_from_what_is_free_and_nothing_more() {
    let mut book = book(100);
    given(&mut book, 60);
    assert_eq!(taken(&line(&mut book)), (60, 40));
    // The database was asked a moment ago, and there is more elsewhere.
    assert_eq!(give(&mut book, 41), Attempt::Ask);
    assert_eq!(give(&mut book, 941), Attempt::Refused(0));
    assert_eq!(taken(&line(&mut book)), (60, 40));
}

#[test]
fn what_comes_back_is_free_again_up_to_what_a_crash_may_lose() {
    let mut book = book(100);
    let hold = given(&mut book, 60);
    book.settle(&hold, 20);
    assert_eq!(taken(&line(&mut book)), (20, 80));
    // 500 that the database was asked for directly.
    let mut line = line(&mut book);
    line.held = 80;
    let verdict = Verdict {
        granted: 500,
        available: 400,
        ..Verdict::default()
    };
    book.apply(&line, &verdict);
    let hold = Hold {
        amount: 500,
        ..hold
    };
    book.settle(&hold, 100);
    assert_eq!(
        taken(&self::line(&mut book)),
        (120, 80),
        "the rest is nobody's"
    );
    let remaining = book.standing(&need(0).key).expect("known").remaining;
    assert_eq!(remaining, LIMIT - 120);
}

#[test]
fn an_overdraft_is_told_and_leaves_nothing_free() {
    let mut book = book(100);
    let hold = given(&mut book, 60);
    book.settle(&hold, 2000);
    assert_eq!(taken(&line(&mut book)), (2000, 0));
    assert_eq!(book.standing(&need(0).key).expect("known").remaining, 0);
    assert_eq!(give(&mut book, 1), Attempt::Refused(0));
}

#[test]
fn a_window_that_is_over_takes_nothing_back_and_never_returns() {
    let mut book = book(100);
    let hold = given(&mut book, 60);
    let later = NOW + 60_000;
    assert_eq!(book.give(&[need(1)], later, &TimeZone::UTC), Attempt::Ask);
    assert_eq!(taken(&line(&mut book)), (0, 0));
    book.settle(&hold, 0);
    assert_eq!(taken(&line(&mut book)), (0, 0));
    let window = line(&mut book).window;
    give(&mut book, 1);
    assert_eq!(line(&mut book).window, window, "though the clock went back");
}

#[test]
fn who_is_idle_gives_back_everything_after_a_while() {
    let mut book = book(100);
    given(&mut book, 10);
    book.tick(NOW);
    assert_eq!(taken(&line(&mut book)), (10, 20), "twice what was needed");
    for _ in 0..6 {
        book.tick(NOW);
    }
    assert_eq!(taken(&line(&mut book)), (10, 0));
}

#[test]
fn another_limit_and_another_life_begin_with_nothing_free() {
    let mut book = book(100);
    given(&mut book, 60);
    let other = Need {
        limit: 2000,
        ..need(1)
    };
    assert_eq!(book.give(&[other], NOW, &TimeZone::UTC), Attempt::Ask);
    assert_eq!(taken(&line(&mut book)), (60, 0));

    let mut book = self::book(100);
    let hold = given(&mut book, 60);
    book.forgotten();
    assert_eq!(taken(&line(&mut book)), (0, 0));
    book.settle(&hold, 20);
    assert_eq!(
        taken(&line(&mut book)),
        (-40, 0),
        "what was counted as spent comes back"
    );
}
