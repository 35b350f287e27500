//! What holds on every database.

use std::sync::Arc;
use std::time::Duration;

use clawdbot::limits::{BudgetKey, Denial, Ledger, Meter, Need, Subject};
use clawdbot::store::Store;
use jiff::tz::TimeZone;
use rstest::rstest;

use crate::databases::{Database, Kind};

const LIMIT: i64 = 10_000;

pub(crate) fn need(subject: &Subject, meter: Meter, limit: i64, amount: i64) -> Need {
    Need {
        key: BudgetKey {
            subject: subject.clone(),
            meter,
        },
        limit,
        amount,
    }
}

fn tokens(amount: i64) -> Vec<Need> {
    vec![need(
        &Subject::Gateway,
        Meter::TokensPerMonth,
        LIMIT,
        amount,
    )]
}

fn ledger(database: &Database) -> Arc<Ledger> {
    Ledger::start("shop/helpdesk", Store::new(database.place()))
}

fn remaining(ledger: &Ledger, need: &Need) -> i64 {
    ledger.standing(&need.key).expect("known").remaining
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn what_is_given_is_kept_across_a_restart(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let first = ledger(&database);
    let zone = TimeZone::UTC;
    let needs = tokens(4000);
    let kept = first.reserve(&needs, &zone).await.expect("the first");
    let settled = first.reserve(&needs, &zone).await.expect("the second");
    first.settle(&settled[0], 1500);
    // As much as is left, but for what was not told yet.
    first.close().await;

    let second = ledger(&database);
    let rest = tokens(LIMIT - 4000 - 1500);
    second
        .reserve(&rest, &zone)
        .await
        .expect("all that is left");
    assert_eq!(remaining(&second, &rest[0]), 0);
    let denied = second
        .reserve(&tokens(1), &zone)
        .await
        .expect_err("nothing is left");
    let Denial::Spent { need: 0, wait } = denied else {
        panic!("{denied:?}")
    };
    assert!(wait <= Duration::from_hours(24 * 31), "{wait:?}");
    drop(kept);
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_request_gets_everything_that_it_needs_or_nothing(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let ledger = ledger(&database);
    let zone = TimeZone::UTC;
    let caller = Subject::Caller("team/ada".into());
    let needs = |amount| {
        vec![
            need(&Subject::Gateway, Meter::TokensPerDay, LIMIT, amount),
            need(&caller, Meter::TokensPerMonth, 500, amount),
            need(&caller, Meter::CostPerMonth, LIMIT, 3),
        ]
    };
    ledger.reserve(&needs(400), &zone).await.expect("fits");
    let denied = ledger
        .reserve(&needs(200), &zone)
        .await
        .expect_err("the caller's is too much");
    assert!(
        matches!(denied, Denial::Spent { need: 1, .. }),
        "{denied:?}"
    );
    let denied = ledger
        .reserve(&needs(501), &zone)
        .await
        .expect_err("never fits");
    assert_eq!(denied, Denial::TooLarge { need: 1 });
    let rest = [need(
        &Subject::Gateway,
        Meter::TokensPerDay,
        LIMIT,
        LIMIT - 400,
    )];
    ledger
        .reserve(&rest, &zone)
        .await
        .expect("what was denied is not counted");
    assert_eq!(remaining(&ledger, &needs(1)[1]), 100);
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn who_uses_more_than_was_set_aside_uses_up_what_is_left(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let ledger = ledger(&database);
    let zone = TimeZone::UTC;
    let holds = ledger.reserve(&tokens(100), &zone).await.expect("fits");
    ledger.settle(&holds[0], LIMIT + 50);
    let denied = ledger
        .reserve(&tokens(1), &zone)
        .await
        .expect_err("overdrawn");
    assert!(matches!(denied, Denial::Spent { .. }), "{denied:?}");
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn gateways_and_callers_are_counted_apart(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let zone = TimeZone::UTC;
    for gateway in ["shop/helpdesk", "shop/sales"] {
        let ledger = Ledger::start(gateway, Store::new(database.place()));
        for name in ["team/ada", "team/bob"] {
            let caller = Subject::Caller(name.into());
            let all = [need(&caller, Meter::TokensPerDay, LIMIT, LIMIT)];
            ledger.reserve(&all, &zone).await.expect("all of it");
            ledger.reserve(&all, &zone).await.expect_err("no more");
        }
        ledger.close().await;
    }
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_limit_that_changes_counts_what_was_used(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let ledger = ledger(&database);
    let zone = TimeZone::UTC;
    ledger.reserve(&tokens(600), &zone).await.expect("fits");
    let with = |limit, amount| {
        [need(
            &Subject::Gateway,
            Meter::TokensPerMonth,
            limit,
            amount,
        )]
    };
    ledger
        .reserve(&with(500, 1), &zone)
        .await
        .expect_err("lowered below what was used");
    ledger
        .reserve(&with(700, 100), &zone)
        .await
        .expect("raised");
    ledger
        .reserve(&with(700, 1), &zone)
        .await
        .expect_err("used up again");
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn many_at_a_time_get_no_more_than_there_is(#[case] kind: Kind) {
    let database = Database::start(kind).await;
    let ledgers = [ledger(&database), ledger(&database)];
    let zone = TimeZone::UTC;
    let requests = (0..400).map(|n| {
        let (ledger, zone) = (&ledgers[n % 2], &zone);
        async move { ledger.reserve(&tokens(50), zone).await.is_ok() }
    });
    let given = futures::future::join_all(requests).await;
    let given = given.into_iter().filter(|given| *given).count();
    assert_eq!(given, 200, "of 50 each");
}
