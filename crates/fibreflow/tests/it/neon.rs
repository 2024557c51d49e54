//! Neon's client against PostgreSQL.

use durable::{Error, ErrorKind};
use fibreflow::{
    neon::{Contractor, Neon, Project},
    phone::Phone,
    vlm::{Evaluation, Status, StepResult},
};
use futures::future::join;
use serde_json::{Value, json};

use crate::server::{as_owner, changed, execute, home, neon, password, row, until, with_server};

#[tokio::test]
async fn all_rows_are_read_with_nulls_as_none() {
    let home = home();
    with_server(home.path(), async |server| {
        let snapshot = neon(server.url()).fetch().await.unwrap();
        assert_eq!((snapshot.contractors.len(), snapshot.projects.len()), (60, 25));
        let counts =
            row(server, "select (select count(*) from sow_drops), (select count(*) from foto_ai_reviews)")
                .await;
        assert_eq!((counts.get::<_, i64>(0), counts.get::<_, i64>(1)), (400, 0));

        let of = |name: &str| snapshot.contractors.iter().find(|row| row.company_name == name).unwrap();
        let Contractor { id, status, is_active, email, phone, .. } = of("Lightspeed Trenching");
        assert_eq!(id.len(), 36);
        assert_eq!(status.as_deref(), Some("approved"));
        assert!(is_active);
        assert_eq!(email.as_deref(), Some("office@lightspeed-trenching.example"));
        assert_eq!(phone.as_deref(), Some("27820000001"));
        assert_eq!(of("Sisonke Cabling (Pty) Ltd").email, None);
        assert_eq!(of("Protea Last Mile").phone, None);
        assert_eq!(of("Rooibos Field Services").status, None);
        assert!(!of("Boerboel Civils CC").is_active);
        assert!(snapshot.contractors.is_sorted_by_key(|row| &row.id));
        for phone in snapshot.contractors.iter().filter_map(|row| row.phone.as_deref()) {
            phone.parse::<Phone>().unwrap();
        }

        let project = |id: &str, name: &str, description: Option<&str>, status: &str| Project {
            id: id.into(),
            project_name: name.into(),
            description: description.map(Into::into),
            status: status.into(),
        };
        assert_eq!(snapshot.projects[3], project("4", "Tembisa North", None, "active"));
        // By number, not as text; and a status that nobody entered.
        assert_eq!(
            snapshot.projects[23],
            project("24", "Evaton West", Some("Entered by hand, to be checked"), "unknown")
        );
    })
    .await;
}

#[tokio::test]
async fn both_tables_are_read_as_of_one_moment() {
    let home = home();
    with_server(home.path(), async |server| {
        let neon = neon(server.url());
        let during = as_owner(server, async |client| {
            client.batch_execute("begin; lock table projects in access exclusive mode").await.unwrap();
            // The client now waits between its two tables, and meanwhile both change.
            let change = async {
                let waits = "select count(*) > 0 from pg_stat_activity
                             where application_name = 'fibreflow' and wait_event_type = 'Lock'";
                until(server, waits).await;
                let both = "insert into contractors (id, company_name) values (gen_random_uuid(), 'Late');
                            insert into projects (project_name, status) values ('Late', 'active'); commit";
                client.batch_execute(both).await.unwrap();
            };
            join(neon.fetch(), change).await.0
        });
        let during = during.await;
        let (during, after) = (during.unwrap(), neon.fetch().await.unwrap());
        assert_eq!((during.contractors.len(), during.projects.len()), (60, 25));
        assert_eq!((after.contractors.len(), after.projects.len()), (61, 26));
    })
    .await;
}

#[tokio::test]
async fn an_evaluation_is_stored_once_and_exactly() {
    let home = home();
    with_server(home.path(), async |server| {
        let neon = neon(server.url());
        neon.store(&evaluation(Status::Fail, 5.59)).await.unwrap();
        execute(server, "update foto_ai_reviews set feedback_sent = true, feedback_sent_at = now()").await;
        let first = row(server, "select created_at::text from foto_ai_reviews").await.get::<_, String>(0);

        let again = evaluation(Status::Pass, 9.07);
        neon.store(&again).await.unwrap();
        // Fails if there is more than one row.
        let stored = row(
            server,
            "select dr_number, overall_status, average_score::text as average_score, total_steps, passed_steps, step_results,
                    markdown_report, feedback_sent, feedback_sent_at is null as unsent, created_at::text as created_at,
                    updated_at > created_at as updated, evaluation_date = updated_at as evaluated
             from foto_ai_reviews",
        )
        .await;
        assert_eq!(stored.get::<_, &str>("dr_number"), "DR1733758");
        assert_eq!(stored.get::<_, &str>("overall_status"), "PASS");
        assert_eq!(stored.get::<_, &str>("average_score"), "9.07");
        assert_eq!((stored.get("total_steps"), stored.get("passed_steps")), (10, 8));
        assert_eq!(stored.get::<_, &str>("markdown_report"), again.markdown_report);
        assert_eq!(
            stored.get::<_, Value>("step_results"),
            json!([{"step_number": 1, "step_name": "house_photo", "step_label": "House", "passed": true, "score": 9.1,
                    "comment": "Hek toe, 'n \"goeie\" foto; \\ ✓"}])
        );
        assert_eq!((stored.get("feedback_sent"), stored.get("unsent")), (false, true));
        assert_eq!(stored.get::<_, &str>("created_at"), first);
        assert_eq!((stored.get("updated"), stored.get("evaluated")), (true, true));
    })
    .await;
}

#[tokio::test]
async fn every_score_of_two_decimals_is_stored_as_it_is() {
    let home = home();
    with_server(home.path(), async |server| {
        let neon = neon(server.url());
        for (score, expected) in [
            (0.0, "0.00"),
            (0.01, "0.01"),
            (1.1, "1.10"),
            (4.35, "4.35"),
            (6.99, "6.99"),
            (8.29, "8.29"),
            (10.0, "10.00"),
        ] {
            neon.store(&evaluation(Status::Pass, score)).await.unwrap();
            let stored = row(server, "select average_score::text from foto_ai_reviews").await;
            assert_eq!(stored.get::<_, &str>(0), expected);
        }
        // Would be stored as if it were a score, were the column any wider.
        let error = neon.store(&evaluation(Status::Pass, 100.0)).await.unwrap_err();
        assert!(error.message().contains("22003"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn errors_say_whether_trying_again_helps_and_never_the_password() {
    let home = home();
    with_server(home.path(), async |server| {
        let secret = password(server);
        let refused = async |url: &str, expected: &str, kind: ErrorKind| {
            let error = neon(url).fetch().await.unwrap_err();
            assert_refused(&error, expected, kind, &secret);
        };
        let wrong = changed(server, |url| url.set_password(Some("not-the-secret")).unwrap());
        let error = neon(&wrong).fetch().await.unwrap_err();
        assert_refused(&error, "28P01", ErrorKind::Fatal, "not-the-secret");
        let nowhere = changed(server, |url| url.set_path("nowhere"));
        refused(&nowhere, "3D000", ErrorKind::Fatal).await;
        let closed = changed(server, |url| url.set_port(Some(1)).unwrap());
        refused(&closed, "onnection refused", ErrorKind::Retryable).await;

        execute(server, "create role reader login password 'reads-nothing'").await;
        let reader = changed(server, |url| {
            url.set_username("reader").unwrap();
            url.set_password(Some("reads-nothing")).unwrap();
        });
        refused(&reader, "42501", ErrorKind::Fatal).await;
        // The next connection is one too many: later there may be room.
        execute(server, "alter role reader connection limit 0").await;
        refused(&reader, "53300", ErrorKind::Retryable).await;

        execute(server, "alter table projects drop column status").await;
        refused(server.url(), "42703", ErrorKind::Fatal).await;
        execute(server, "drop table foto_ai_reviews, sow_drops, projects").await;
        refused(server.url(), "42P01", ErrorKind::Fatal).await;
        let error = neon(server.url()).store(&evaluation(Status::Pass, 7.0)).await.unwrap_err();
        assert_refused(&error, "foto_ai_reviews", ErrorKind::Fatal, &secret);
    })
    .await;
}

#[test]
fn an_address_that_is_none_is_not_shown() {
    for url in
        ["postgresql://fibreflow:s3cret@host:port/x", "postgresql://fibreflow:s3cret@host/x?sslmode=maybe"]
    {
        let error = fibreflow::neon::Postgres::new(url.to_owned().into()).unwrap_err();
        assert_refused(&error, "NEON_DATABASE_URL", ErrorKind::Fatal, "s3cret");
    }
    let good = neon("postgresql://fibreflow:s3cret@host/x");
    assert!(!format!("{good:?}").contains("s3cret"));
}

/// That an error is what it should be and shows neither password nor address.
pub(crate) fn assert_refused(error: &Error, expected: &str, kind: ErrorKind, secret: &str) {
    let text = format!("{error} {error:?}");
    assert!(text.contains(expected), "expected {expected}: {text}");
    assert_eq!(error.kind(), kind, "{text}");
    for hidden in [secret, "fibreflow:", "127.0.0.1"] {
        assert!(!text.contains(hidden), "{text}");
    }
}

fn evaluation(overall_status: Status, average_score: f64) -> Evaluation {
    let step = StepResult {
        step_number: 1,
        step_name: "house_photo".into(),
        step_label: "House".into(),
        passed: true,
        score: 9.1,
        comment: "Hek toe, 'n \"goeie\" foto; \\ ✓".into(),
    };
    Evaluation {
        dr_number: "DR1733758".into(),
        overall_status,
        average_score,
        total_steps: 10,
        passed_steps: 8,
        step_results: vec![step],
        markdown_report: "# DR1733758\n\n| Step | Score |\n".into(),
    }
}
