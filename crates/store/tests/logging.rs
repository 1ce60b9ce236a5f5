//! The logging database, the same for each back end. PostgreSQL is tested where
//! `OPENRMS_TEST_POSTGRES` names a server on which databases can be made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use openrms_store::logging::{
    Certificate, Chosen, Day, EventFilter, LogEvent, LoggingDatabase, LoggingError,
    PostgresLogging, Reports, SqliteLogging, retire,
};
use openrms_store::{StoreError, Uuid};

#[tokio::test]
async fn events_are_read_as_they_were_stored() {
    for place in places().await {
        let database = place.open().await;
        let all: Vec<_> = (0..200).map(|number| event(number, TODAY)).collect();
        database.store(&all, &[]).await.unwrap();
        let reports = Reports::new(&*database, Chosen::EVER);
        let any = EventFilter::default();
        assert_eq!(reports.events(&any, None, 500).await.unwrap(), all);
        // Page by page.
        let mut paged = Vec::new();
        while let Some(page) = {
            let after = paged.last().map(|event: &LogEvent<'_>| event.id);
            let page = reports.events(&any, after, 33).await.unwrap();
            (!page.is_empty()).then_some(page)
        } {
            paged.extend(page);
        }
        assert_eq!(paged, all);
        let found = |filter: EventFilter| async move {
            let found = reports.events(&filter, None, 500).await.unwrap();
            found.len()
        };
        let alice = Some("alice@example.test".to_owned());
        let filter = EventFilter {
            account: alice.clone(),
            ..EventFilter::default()
        };
        assert_eq!(found(filter).await, 100);
        let filter = EventFilter {
            account: alice,
            failed: true,
            request: Some("abc-4".to_owned()),
            ..EventFilter::default()
        };
        assert_eq!(found(filter).await, 1);
        database.close().await;
    }
}

#[tokio::test]
async fn what_is_stored_again_is_there_once() {
    for place in places().await {
        let database = place.open().await;
        let all: Vec<_> = (0..70).map(|number| event(number, TODAY)).collect();
        database.store(&all[..40], &[certificate(1)]).await.unwrap();
        database
            .store(&all[20..], &[certificate(1), certificate(2)])
            .await
            .unwrap();
        database.close().await;
        // Also by another process.
        let database = place.open().await;
        database.store(&all, &[certificate(2)]).await.unwrap();
        let reports = Reports::new(&*database, Chosen::EVER);
        assert_eq!(reports.count().await.unwrap(), 70);
        let digests = [certificate(2).digest, [9; 32], certificate(1).digest];
        let found = reports.certificates(&digests).await.unwrap();
        let texts: Vec<_> = found.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(texts, ["<XrML>2</XrML>", "<XrML>1</XrML>"]);
        database.close().await;
    }
}

#[tokio::test]
async fn one_event_that_is_refused_keeps_all_of_its_batch_out_and_is_told_from_a_database_that_fails()
 {
    for place in places().await {
        let database = place.open().await;
        let mut hostless = event(3, TODAY);
        hostless.host = "".into();
        let mut timeless = event(3, TODAY);
        timeless.time = i64::MAX;
        for bad in [hostless, timeless] {
            let all = [event(1, TODAY), event(2, TODAY), bad, event(4, TODAY)];
            let refused = database.store(&all, &[]).await.unwrap_err();
            assert!(
                matches!(refused, LoggingError::Refused { .. }),
                "{refused:?}"
            );
        }
        let reports = Reports::new(&*database, Chosen::EVER);
        assert_eq!(reports.count().await.unwrap(), 0);
        database.store(&[event(1, TODAY)], &[]).await.unwrap();
        assert_eq!(reports.count().await.unwrap(), 1);
        database.close().await;
        let gone = database.store(&[event(2, TODAY)], &[]).await.unwrap_err();
        assert!(matches!(gone, LoggingError::Store(_)), "{gone:?}");
    }
}

#[tokio::test]
async fn text_with_a_null_is_refused_by_postgresql_and_by_name() {
    for place in places().await {
        let Place::Postgres(_) = &place else { continue };
        let database = place.open().await;
        let mut bad = event(1, TODAY);
        bad.user_agent = Some("a\0b".into());
        let refused = database.store(&[bad], &[]).await.unwrap_err();
        assert!(
            matches!(refused, LoggingError::Refused { .. }),
            "{refused:?}"
        );
        database.close().await;
    }
}

#[tokio::test]
async fn old_days_go_and_take_with_them_the_certificates_that_only_they_name() {
    for place in places().await {
        let database = place.open().await;
        let today: Day = TODAY.parse().unwrap();
        let days: Vec<_> = (0..5).map(|age| today.minus(age)).collect();
        for (number, day) in days.iter().enumerate() {
            let number = u32::try_from(number).unwrap();
            let mut named = certificate(u8::try_from(number).unwrap());
            named.day = *day;
            let of_day = event(number, &day.to_string());
            database.store(&[of_day], &[named]).await.unwrap();
        }
        // The oldest certificate is named again.
        database.store(&[], &[certificate(4)]).await.unwrap();
        let retired = retire(&*database, today.minus(1)).await.unwrap();
        assert_eq!((retired.days.len(), retired.certificates), (3, 2));
        assert_eq!(database.days().await.unwrap(), [today.minus(1), today]);
        let reports = Reports::new(&*database, Chosen::EVER);
        assert_eq!(reports.count().await.unwrap(), 2);
        let digests: Vec<_> = (0..5).map(|number| certificate(number).digest).collect();
        let left = reports.certificates(&digests).await.unwrap();
        assert_eq!(left.len(), 3);
        assert_eq!(
            retire(&*database, today.minus(1)).await.unwrap(),
            openrms_store::logging::Retired::default()
        );
        // What comes late is stored all the same, until the next time.
        let late = event(9, &days[4].to_string());
        let stored = database.store(std::slice::from_ref(&late), &[]).await;
        if stored.is_err() {
            database.store(&[late], &[]).await.unwrap();
        }
        assert_eq!(reports.count().await.unwrap(), 3);
        database.close().await;
    }
}

#[tokio::test]
async fn old_certificates_go_in_parts_and_all_of_them() {
    for place in places().await {
        let database = place.open().await;
        let named: Vec<_> = (0..2_500_u32)
            .map(|number| {
                let mut named = certificate(0);
                named.digest[..4].copy_from_slice(&number.to_be_bytes());
                named
            })
            .collect();
        database.store(&[], &named).await.unwrap();
        let tomorrow: Day = "2026-11-21".parse().unwrap();
        let first = database.drop_certificates(tomorrow).await.unwrap();
        assert!((1..2_000).contains(&first), "{first}");
        let retired = retire(&*database, tomorrow).await.unwrap();
        assert_eq!(first + retired.certificates, 2_500);
        database.close().await;
    }
}

/// Databases that know nothing but serializable transactions refuse some, which is no outage.
#[tokio::test]
async fn a_batch_that_others_were_in_the_way_of_is_stored_again() {
    for place in places().await {
        let Place::Postgres(server) = &place else {
            continue;
        };
        let database = place.open().await;
        server
            .execute(
                "CREATE SEQUENCE attempts;
                 CREATE FUNCTION fail_at_first() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF nextval('public.attempts') % 3 <> 0 THEN
                     RAISE EXCEPTION 'try again' USING ERRCODE = '40001';
                   END IF;
                   RETURN NEW;
                 END $$;
                 CREATE TRIGGER t BEFORE INSERT ON openrms_logging.log_certificate
                 FOR EACH ROW EXECUTE FUNCTION fail_at_first()",
            )
            .await;
        let (events, certificates) = ([event(1, TODAY)], [certificate(1)]);
        database.store(&events, &certificates).await.unwrap();
        let reports = Reports::new(&*database, Chosen::EVER);
        assert_eq!(reports.count().await.unwrap(), 1);
        database.close().await;
    }
}

#[tokio::test]
async fn a_table_that_another_process_dropped_is_made_again() {
    for place in places().await {
        let (one, other) = (place.open().await, place.open().await);
        one.store(&[event(1, TODAY)], &[]).await.unwrap();
        other.drop_day(TODAY.parse().unwrap()).await.unwrap();
        let mut attempts = 0;
        while let Err(error) = one.store(&[event(2, TODAY)], &[]).await {
            assert!(matches!(error, LoggingError::Store(_)), "{error}");
            attempts += 1;
            assert!(attempts < 3, "{error}");
        }
        let reports = Reports::new(&*other, Chosen::EVER);
        assert_eq!(reports.count().await.unwrap(), 1);
        one.close().await;
        other.close().await;
    }
}

#[test]
fn several_listeners_begin_a_database_and_a_day_at_once() {
    for place in block_on(places()) {
        let place = &place;
        let listen = move |listener: u32| async move {
            let database = place.open().await;
            for batch in 0..10 {
                let first = listener * 1000 + batch * 10;
                // Some of each are in the next batch as well.
                let events: Vec<_> = (first..first + 15).map(|n| event(n, TODAY)).collect();
                let named = [certificate(u8::try_from(batch).unwrap())];
                while let Err(error) = database.store(&events, &named).await {
                    assert!(matches!(error, LoggingError::Store(_)), "{error}");
                }
            }
            database.close().await;
        };
        std::thread::scope(|scope| {
            for listener in 0..6 {
                scope.spawn(move || block_on(listen(listener)));
            }
        });
        block_on(async {
            let database = place.open().await;
            let reports = Reports::new(&*database, Chosen::EVER);
            assert_eq!(reports.count().await.unwrap(), 6 * 105);
            database.close().await;
        });
    }
}

#[tokio::test]
async fn reports_count_what_there_is() {
    for place in places().await {
        let database = place.open().await;
        let today: Day = TODAY.parse().unwrap();
        let yesterday = today.minus(1).to_string();
        let mut all = Vec::new();
        for number in 0..40 {
            all.push(event(number, if number < 10 { &yesterday } else { TODAY }));
        }
        all[6].ground = Some("super-user".into());
        database.store(&all, &[]).await.unwrap();

        let reports = Reports::new(&*database, Chosen::EVER);
        let operations = reports.operations().await.unwrap();
        let told: Vec<_> = operations
            .iter()
            .map(|one| {
                (
                    one.day.as_str(),
                    one.operation.as_deref(),
                    one.requests,
                    one.failures,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (yesterday.as_str(), Some("AcquireLicense"), 5, 1),
                (yesterday.as_str(), Some("Certify"), 5, 0),
                (TODAY, Some("AcquireLicense"), 15, 2),
                (TODAY, Some("Certify"), 15, 3),
            ]
        );
        assert_eq!(
            (operations[0].mean_micros, operations[0].max_micros),
            (104, 108)
        );

        let accounts = reports.accounts(1).await.unwrap();
        let alice = &accounts[0];
        assert_eq!((accounts.len(), alice.requests, alice.failures), (1, 20, 3));
        assert_eq!((alice.certifications, alice.licenses), (0, 17));
        let certified = reports.certified(10).await.unwrap();
        assert_eq!((certified.len(), certified[0].certifications), (1, 17));
        let contents = reports.contents(10).await.unwrap();
        assert_eq!(contents.iter().map(|one| one.licenses).sum::<u64>(), 17);
        let refusals = reports.refusals(10).await.unwrap();
        let counted: u64 = refusals.iter().map(|one| one.refusals).sum();
        assert_eq!((counted, refusals[0].outcome.as_str()), (6, "NoRights"));
        let super_users = reports.super_users(10).await.unwrap();
        assert_eq!(super_users.len(), 1);

        let only_today = Reports::new(&*database, Chosen::days(today, today));
        assert_eq!(only_today.count().await.unwrap(), 30);
        assert!(only_today.super_users(10).await.unwrap().is_empty());
        database.close().await;
    }
}

#[tokio::test]
async fn what_is_no_logging_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logging.db");
    std::fs::write(&path, "something else").unwrap();
    let error = SqliteLogging::open_or_create(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
}

/// An event of a day. Even ones are alice's and ask for licenses, odd ones are bob's and ask for
/// RACs; the fourth of seven is refused.
fn event(number: u32, day: &str) -> LogEvent<'static> {
    let even = number.is_multiple_of(2);
    let refused = number % 7 == 4;
    let mut id = [0; 16];
    id[6] = 0x70;
    id[12..].copy_from_slice(&number.to_be_bytes());
    let start = day.parse::<Day>().unwrap().start_millis();
    LogEvent {
        id: Uuid::from_bytes(id),
        time: start + i64::from(number),
        host: "rms1".into(),
        request: format!("abc-{number:x}").into(),
        item: even.then_some(number),
        path: "/_wmcs/licensing/license.asmx".into(),
        operation: Some(if even { "AcquireLicense" } else { "Certify" }.into()),
        peer: Some("10.1.2.3:4567".into()),
        user_agent: Some("MSDRM/6.1".into()),
        authenticated: !even,
        secure: true,
        user: (!even).then(|| "CORP\\bob".into()),
        metadata: None,
        outcome: if refused { "NoRights" } else { "ok" }.into(),
        reason: refused.then(|| "nothing is granted".into()),
        account: Some(
            if even {
                "alice@example.test"
            } else {
                "bob@example.test"
            }
            .into(),
        ),
        content: even.then(|| format!("content-{}", number % 6).into()),
        issued: (!refused).then(|| format!("{{license-{number}}}").into()),
        ground: even.then(|| "rights".into()),
        micros: 100 + u64::from(number),
        received_xrml: if even {
            vec![[1; 32], [2; 32]]
        } else {
            Vec::new()
        },
        issued_xrml: Vec::new(),
    }
}

fn certificate(number: u8) -> Certificate<'static> {
    Certificate {
        digest: [number; 32],
        kind: "rac".into(),
        day: TODAY.parse().unwrap(),
        text: format!("<XrML>{number}</XrML>").into(),
    }
}

/// An empty database.
enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(support::TestDatabase),
}

impl Place {
    async fn open(&self) -> Box<dyn LoggingDatabase> {
        match self {
            Self::Sqlite(folder) => {
                let path = folder.path().join("logging.db");
                Box::new(SqliteLogging::open_or_create(&path).await.unwrap())
            }
            Self::Postgres(database) => {
                Box::new(PostgresLogging::open(&database.postgres()).await.unwrap())
            }
        }
    }
}

async fn places() -> Vec<Place> {
    let mut places = vec![Place::Sqlite(tempfile::tempdir().unwrap())];
    places.extend(support::TestDatabase::new().await.map(Place::Postgres));
    places
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

const TODAY: &str = "2026-11-20";
