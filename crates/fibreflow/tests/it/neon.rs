//! Neon's client against PostgreSQL.

use durable::{Error, ErrorKind};
use fibreflow::{
    mirror::{Document, Table, Tables},
    neon::{Neon, Page, Span},
    phone::Phone,
    sandbox::postgres::PostgresSandbox,
    vlm::{Evaluation, Status, StepResult},
};
use serde_json::{Value, json};

use crate::server::{changed, execute, home, neon, password, row, with_server};

#[tokio::test]
async fn all_rows_are_read_without_what_is_null() {
    let home = home();
    with_server(home.path(), async |server| {
        let counts =
            row(server, "select (select count(*) from sow_drops), (select count(*) from foto_ai_reviews)")
                .await;
        assert_eq!((counts.get::<_, i64>(0), counts.get::<_, i64>(1)), (400, 0));

        let contractors = documents(server, "contractors").await;
        assert_eq!(contractors.len(), 60);
        assert!(contractors.is_sorted_by_key(|row| &row.key));
        let of = |name: &str| contractors.iter().find(|row| row.fields["company_name"] == name).unwrap();
        let known = of("Lightspeed Trenching");
        assert_eq!(known.key.len(), 36);
        assert_eq!(
            Value::Object(known.fields.clone()),
            json!({"company_name": "Lightspeed Trenching", "status": "approved", "is_active": true,
                   "email": "office@lightspeed-trenching.example", "phone": "27820000001"})
        );
        for (name, missing) in [
            ("Sisonke Cabling (Pty) Ltd", "email"),
            ("Protea Last Mile", "phone"),
            ("Rooibos Field Services", "status"),
        ] {
            assert!(!of(name).fields.contains_key(missing), "{name}");
        }
        assert_eq!(of("Boerboel Civils CC").fields["is_active"], false);
        for phone in contractors.iter().filter_map(|row| row.fields.get("phone")) {
            phone.as_str().unwrap().parse::<Phone>().unwrap();
        }

        let projects = documents(server, "projects").await;
        let fields =
            |index: usize| (projects[index].key.as_str(), Value::Object(projects[index].fields.clone()));
        assert_eq!(fields(3), ("4", json!({"name": "Tembisa North", "status": "active"})));
        // By number, not as text; and a status that nobody entered.
        let by_hand = "Entered by hand, to be checked";
        assert_eq!(
            fields(23),
            ("24", json!({"name": "Evaton West", "description": by_hand, "status": "unknown"}))
        );
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
            let error = fetch(url).await.unwrap_err();
            assert_refused(&error, expected, kind, &secret);
        };
        let wrong = changed(server, |url| url.set_password(Some("not-the-secret")).unwrap());
        let error = fetch(&wrong).await.unwrap_err();
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
        refused(server.url(), "projects: there is no column status", ErrorKind::Fatal).await;
        execute(server, "drop table foto_ai_reviews, sow_drops, projects").await;
        refused(server.url(), "projects: there is no such table", ErrorKind::Fatal).await;
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

/// One of the shipped tables.
pub(crate) fn table(name: &str) -> Table {
    Tables::read(None).unwrap().tables.into_iter().find(|table| table.name == name).unwrap()
}

/// Reads the first page of projects.
pub(crate) async fn fetch(url: &str) -> durable::Result<Page> {
    neon(url).page(&table("projects"), &Span::default()).await
}

async fn documents(server: &PostgresSandbox, name: &str) -> Vec<Document> {
    let table = table(name);
    let page = neon(server.url()).page(&table, &Span::default()).await.unwrap();
    page.rows.into_iter().map(|row| table.document(row).unwrap()).collect()
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
