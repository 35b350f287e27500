//! Messages and conversations of channels: what holds on every database.

use std::sync::Arc;

use claw_crds::gateway_config::Redacted;
use clawdbot::conversation::HistoryLimits;
use clawdbot::mailbox::{Change, Counters, Keys, Mailbox, Progress};
use clawdbot::store::{KeyFile, Place, Store};
use rstest::rstest;
use sqlx::Row as _;

use crate::databases::{Database, Kind};
use crate::gateway::until;
use crate::postgres::Postgres;

const BOT: &str = "desk/99";
const CHAT: &str = "42";
const OLD: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const NEW: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn keys(keys: &[&str]) -> Keys {
    Keys::new(keys.iter().copied().map(Redacted::new).collect(), None)
}

fn mailbox_with(place: Place, own: &[&str]) -> (Arc<Mailbox>, Counters) {
    let counters = Counters::default();
    let store = Store::new(place);
    let mailbox = Mailbox::start("shop/helpdesk", store, keys(own), counters.clone());
    (mailbox, counters)
}

fn mailbox(database: &Database) -> Arc<Mailbox> {
    mailbox_with(database.place(), &[OLD]).0
}

fn record(question: &str, answer: &str) -> Change {
    Change::Record {
        forgotten: 0,
        question: question.into(),
        answer: answer.into(),
    }
}

/// Ask and answer to the end.
async fn exchange(mailbox: &Arc<Mailbox>, number: i64, question: &str) {
    let claim = mailbox.receive(BOT, number, question.as_bytes()).await;
    let claim = claim.expect("kept").expect("new");
    let change = record(question, "yes");
    let conversation = (CHAT, HistoryLimits::default());
    let is_ours = claim.answer(conversation, &change, b"[]").await;
    assert!(is_ours.expect("kept"));
    claim.done().await.expect("kept");
}

async fn said(mailbox: &Mailbox) -> Vec<String> {
    let history = mailbox.history(BOT, CHAT, HistoryLimits::default()).await;
    let messages = history.expect("read").prompt(None, "now");
    let texts = messages.into_iter().map(|message| message.content);
    texts.collect()
}

/// Change something behind the mailbox's back.
pub(crate) async fn execute(place: Place, statement: &'static str) {
    let store = Store::new(place);
    let changed = store.bounded(async {
        let mut transaction = store.begin().await?;
        let done = sqlx::query(statement).execute(&mut *transaction).await;
        done.map_err(|error| store.failed(error))?;
        store.commit(transaction).await
    });
    changed.await.expect("changed");
}

/// Every text that a table has.
async fn contents(place: Place, statement: &'static str) -> Vec<String> {
    let store = Store::new(place);
    let rows = store.bounded(async {
        let mut transaction = store.begin().await?;
        let rows = sqlx::query(statement).fetch_all(&mut *transaction).await;
        rows.map_err(|error| store.failed(error))
    });
    let rows = rows.await.expect("read");
    rows.iter()
        .map(|row| row.try_get(0).expect("text"))
        .collect()
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_conversation_outlives_its_process_and_a_message_is_taken_once(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let first = mailbox(&database);
    exchange(&first, 1, "one").await;
    exchange(&first, 2, "two").await;
    let again = first.receive(BOT, 2, b"two").await.expect("asked");
    assert!(again.is_none());
    first.close().await;

    let second = mailbox(&database);
    assert_eq!(said(&second).await, ["one", "yes", "two", "yes", "now"]);
    let again = second.receive(BOT, 1, b"one").await.expect("asked");
    assert!(again.is_none());
    let other = second.receive("desk/100", 1, b"one").await.expect("asked");
    assert!(other.is_some(), "another bot counts for itself");
    let left = second.take_over(BOT, 10).await.expect("asked");
    assert!(left.is_empty(), "all is done: {left:?}");

    let claim = second.receive(BOT, 3, b"/reset").await.expect("kept");
    let claim = claim.expect("new");
    let conversation = (CHAT, HistoryLimits::default());
    let forgotten = claim.answer(conversation, &Change::Forget, b"[]").await;
    assert!(forgotten.expect("kept"));
    assert_eq!(said(&second).await, ["now"]);
    second.close().await;
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn what_a_dead_process_left_is_taken_over_where_it_ended(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let first = mailbox(&database);
    let received = first.receive(BOT, 1, b"received").await.expect("kept");
    let answered = first.receive(BOT, 2, b"answered").await.expect("kept");
    let (received, answered) = (received.expect("new"), answered.expect("new"));
    let conversation = (CHAT, HistoryLimits::default());
    let is_ours = answered
        .answer(conversation, &record("answered", "yes"), b"outbox")
        .await;
    assert!(is_ours.expect("kept"));
    answered.sent(3).await.expect("kept");

    let second = mailbox(&database);
    let left = second.take_over(BOT, 10).await.expect("asked");
    assert!(left.is_empty(), "their process lives: {left:?}");
    execute(
        database.place(),
        "UPDATE channel_process SET expires_at = 0",
    )
    .await;
    let left = second.take_over(BOT, 10).await.expect("asked");
    let progress: Vec<_> = left
        .iter()
        .map(|(claim, progress)| (claim.number(), progress))
        .collect();
    assert_eq!(
        progress,
        [
            (1, &Progress::Received(b"received".to_vec().into())),
            (2, &Progress::Answered(b"outbox".to_vec().into(), 3)),
        ]
    );
    // The first one was slow, not dead.
    let late = received
        .answer(conversation, &record("received", "late"), b"late")
        .await;
    assert!(!late.expect("asked"), "it was taken over");
    assert_eq!(said(&second).await, ["answered", "yes", "now"]);
    second.close().await;
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_message_whose_work_broke_off_is_tried_again_and_then_given_up(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let mailbox = mailbox(&database);
    let claim = mailbox.receive(BOT, 1, b"poison").await.expect("kept");
    let left = mailbox.take_over(BOT, 10).await.expect("asked");
    assert!(left.is_empty(), "it is worked on: {left:?}");
    assert!(claim.expect("new").begin().await.expect("asked"));
    for _ in 0..5 {
        // Whoever only waited for its turn, or was kept from it by something else, has not tried.
        let mut left = mailbox.take_over(BOT, 10).await.expect("asked");
        let (claim, _) = left.pop().expect("left behind");
        assert!(claim.begin().await.expect("asked"));
        assert!(claim.put_back().await.expect("asked"));
    }
    for _ in 0..2 {
        let mut left = mailbox.take_over(BOT, 10).await.expect("asked");
        let (claim, _) = left.pop().expect("left behind");
        assert!(claim.begin().await.expect("asked"));
    }
    let left = mailbox.take_over(BOT, 10).await.expect("asked");
    assert!(left.is_empty(), "{left:?}");
    let again = mailbox.receive(BOT, 1, b"poison").await.expect("asked");
    assert!(again.is_none());
    mailbox.close().await;
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn two_processes_add_to_one_conversation(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let (first, second) = (mailbox(&database), mailbox(&database));
    exchange(&first, 1, "one").await;
    exchange(&second, 2, "two").await;
    // The first has read the history before it grew.
    let claim = first.receive(BOT, 3, b"three").await.expect("kept");
    let claim = claim.expect("new");
    let change = Change::Record {
        forgotten: 1,
        question: "three".into(),
        answer: "yes".into(),
    };
    let conversation = (CHAT, HistoryLimits::default());
    let is_ours = claim.answer(conversation, &change, b"[]").await;
    assert!(is_ours.expect("kept"));
    assert_eq!(said(&second).await, ["two", "yes", "three", "yes", "now"]);
    first.close().await;
    second.close().await;
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn nothing_that_was_said_is_readable_and_keys_rotate(#[case] kind: Kind) {
    const EVERYTHING: &str = "SELECT content FROM conversation \
                              UNION ALL SELECT content FROM channel_message WHERE content <> ''";
    const KEYS: &str = "SELECT DISTINCT key_id FROM conversation \
                        UNION SELECT DISTINCT key_id FROM channel_message WHERE content <> ''";
    let database = Database::start(kind).await;
    let (first, _) = mailbox_with(database.place(), &[OLD]);
    for number in 0..60 {
        let open = first.receive(BOT, 100 + number, b"hunter2 waits").await;
        assert!(open.expect("kept").is_some());
    }
    exchange(&first, 1, "my password is hunter2").await;
    for content in contents(database.place(), EVERYTHING).await {
        assert!(!content.contains("hunter2"), "{content}");
    }
    let before = contents(database.place(), KEYS).await;
    assert_eq!(before.len(), 1);

    first.rekey(keys(&[NEW, OLD]));
    let renewed = until("all is encrypted anew", async || {
        let names = contents(database.place(), KEYS).await;
        (names.len() == 1 && names != before).then_some(names)
    })
    .await;
    first.close().await;

    let (second, counters) = mailbox_with(database.place(), &[NEW]);
    let texts = ["my password is hunter2", "yes", "now"];
    assert_eq!(said(&second).await, texts);
    let left = second.take_over(BOT, 100).await.expect("asked");
    assert_eq!(left.len(), 60);
    assert_eq!(counters.unreadable.get(), 0);
    second.close().await;
    assert_eq!(contents(database.place(), KEYS).await, renewed);
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn what_no_key_opens_is_counted_and_as_good_as_absent(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let first = mailbox(&database);
    exchange(&first, 1, "old").await;
    let open = first.receive(BOT, 2, b"waits").await.expect("kept");
    drop(open);
    first.close().await;

    let (second, counters) = mailbox_with(database.place(), &[NEW]);
    assert_eq!(said(&second).await, ["now"]);
    assert_eq!(counters.unreadable.get(), 1);
    let unknown = clawdbot::mailbox::KeyLabels { key: "unknown" };
    until("it is counted", async || {
        (counters.encrypted.get_or_create(&unknown).get() == 2).then_some(())
    })
    .await;
    let left = second.take_over(BOT, 10).await.expect("asked");
    assert!(left.is_empty(), "it waits for its key: {left:?}");
    exchange(&second, 3, "new").await;
    assert_eq!(said(&second).await, ["new", "yes", "now"]);

    second.rekey(keys(&[NEW, OLD]));
    let left = second.take_over(BOT, 10).await.expect("asked");
    assert_eq!(left.len(), 1, "its key is back");
    second.close().await;
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_value_that_was_moved_or_changed_does_not_open(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let (mailbox, counters) = mailbox_with(database.place(), &[OLD]);
    exchange(&mailbox, 1, "mine").await;
    execute(
        database.place(),
        "UPDATE conversation SET place = '43' WHERE place = '42'",
    )
    .await;
    let history = mailbox.history(BOT, "43", HistoryLimits::default()).await;
    assert!(history.expect("read").is_empty());
    assert_eq!(counters.unreadable.get(), 1);
    mailbox.close().await;
}

#[tokio::test]
async fn one_machine_has_a_key_file_which_later_keys_follow() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |given: &[&str]| {
        let given = given.iter().copied().map(Redacted::new).collect();
        let keys = Keys::new(given, Some(KeyFile::in_directory(folder.path())));
        let store = Store::new(Place::in_directory(folder.path()));
        Mailbox::start("shop/helpdesk", store, keys, Counters::default())
    };
    let first = start(&[]);
    exchange(&first, 1, "one").await;
    first.close().await;
    assert!(folder.path().join("state.key").is_file());
    let second = start(&[NEW]);
    assert_eq!(said(&second).await, ["one", "yes", "now"]);
    second.close().await;
}

#[tokio::test]
async fn a_lost_database_is_told_and_found_again() {
    let mut postgres = Postgres::start().await;
    let (mailbox, _) = mailbox_with(postgres.place(), &[OLD]);
    exchange(&mailbox, 1, "one").await;
    let open = mailbox.receive(BOT, 2, b"open").await.expect("kept");
    let open = open.expect("new");
    postgres.kill().await;
    // Its backends live on for a moment.
    let mut number = 3;
    until("the database is lost", async || {
        let kept = mailbox.receive(BOT, number, b"lost").await;
        number += i64::from(kept.is_ok());
        kept.is_err().then_some(())
    })
    .await;
    assert!(mailbox.fault().is_some());
    let conversation = (CHAT, HistoryLimits::default());
    let change = record("open", "yes");
    let lost = open.answer(conversation, &change, b"[]").await;
    assert!(lost.is_err());

    postgres.resume().await;
    until("it is found again", async || {
        let kept = open.answer(conversation, &change, b"[]").await;
        kept.ok()
    })
    .await;
    assert!(mailbox.fault().is_none());
    assert_eq!(said(&mailbox).await, ["one", "yes", "open", "yes", "now"]);
    let again = mailbox.receive(BOT, number, b"lost").await.expect("kept");
    assert!(again.is_some(), "it was refused, so it is taken now");
    mailbox.close().await;
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn what_is_long_over_is_dropped(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let first = mailbox(&database);
    exchange(&first, 1, "old").await;
    first.close().await;
    for statement in [
        "UPDATE conversation SET used_at = 0",
        "UPDATE channel_message SET arrived_at = 0",
    ] {
        execute(database.place(), statement).await;
    }
    let second = mailbox(&database);
    assert_eq!(said(&second).await, ["now"], "as if it were gone already");
    let rows = "SELECT place FROM conversation UNION ALL SELECT bot FROM channel_message";
    until("the rows are gone", async || {
        contents(database.place(), rows)
            .await
            .is_empty()
            .then_some(())
    })
    .await;
    let again = second.receive(BOT, 1, b"old").await.expect("asked");
    assert!(again.is_some(), "nobody remembers it");
    second.close().await;
}
