//! Against PostgreSQL: whatever is edited, refused, broken and killed, the mirror ends equal.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use durable::{
    Result, Status,
    testing::{CutOff, Simulation, When},
};
use fibreflow::{
    events::SyncRequested,
    mirror::{Table, Tables},
    neon::{Neon, Page, Postgres, Span},
    sandbox::{Fault, Sandbox, Scene},
    vlm::Evaluation,
};
use proptest::prelude::*;
use serde_json::{Map, Value};
use sync_databases::{Services, workflow};
use tokio::runtime::Runtime;

use crate::{
    server::{Server, with_server},
    simulated::counts,
};

const TABLES: &str = r#"{"tables": [
    {"name": "contractors", "columns": ["company_name", "status", {"name": "is_active", "default": false}, "email", "phone"]},
    {"name": "projects", "columns": [{"name": "project_name", "to": "name"}, "description", {"name": "status", "default": "unknown"}]},
    {"name": "field.poles", "to": "sow_poles", "key": "label", "filter": "not scrapped",
     "may_lose_percent": 100, "columns": ["height", "tags", "planted_at", "extra", "note"]}
]}"#;

/// More poles than a page holds, with labels whose order is not that of their text in bytes.
const SCHEMA: &str = "
    alter table projects drop constraint projects_contractor_id_fkey;
    alter table sow_drops drop constraint sow_drops_contractor_id_fkey, drop constraint sow_drops_project_id_fkey;
    create schema field;
    create table field.poles (label varchar(20) primary key, height numeric(5, 2), tags text[], planted_at timestamp,
                              extra jsonb, note text, scrapped boolean not null default false);
    insert into field.poles (label, height, tags, planted_at)
    select 'P.' || n, n / 100.0, array['new'], timestamp '2026-01-01' + n * interval '1 hour' from generate_series(1, 620) as n";

/// What the mirror is to hold, in PostgreSQL's own words.
const EXPECTED: [(&str, &str); 3] = [
    (
        "contractors",
        "select id::text, jsonb_strip_nulls(jsonb_build_object('company_name', company_name, 'status', status,
             'is_active', coalesce(is_active, false), 'email', email, 'phone', phone)) from contractors",
    ),
    (
        "projects",
        "select id::text, jsonb_strip_nulls(jsonb_build_object('name', project_name, 'description', description,
             'status', coalesce(status, 'unknown'))) from projects",
    ),
    (
        "sow_poles",
        "select label::text, jsonb_strip_nulls(jsonb_build_object('height', height::text, 'tags', to_jsonb(tags),
             'planted_at', to_char(planted_at, 'YYYY-MM-DD\"T\"HH24:MI:SS'), 'extra', extra, 'note', note))
         from field.poles where not scrapped and planted_at is distinct from timestamp 'infinity'",
    ),
];

/// The real client, waited for: a simulation has no sockets of its own.
#[derive(Debug)]
struct Waiting(Arc<Runtime>, Postgres);

#[async_trait]
impl Neon for Waiting {
    async fn page(&self, table: &Table, span: &Span) -> Result<Page> {
        self.0.block_on(self.1.page(table, span))
    }

    async fn existing(&self, table: &Table, keys: &[String]) -> Result<HashSet<String>> {
        self.0.block_on(self.1.existing(table, keys))
    }

    async fn store(&self, evaluation: &Evaluation) -> Result<()> {
        self.0.block_on(self.1.store(evaluation))
    }
}

/// Something that happens to a row: which table, which of its rows, and what.
#[derive(Debug, Clone)]
struct Edit {
    table: usize,
    row: u32,
    kind: u32,
}

impl Edit {
    fn sql(&self) -> String {
        let Self { table, row, kind } = self;
        let id = format!("md5('contractor {}')::uuid", row + 1);
        let text = ["'Karoo'", "null", "''", "'naïve ✓ \"x\"'"][*kind as usize % 4];
        match (table, kind % 7) {
            (0, 0) => format!("delete from contractors where id = {id}"),
            (0, 1) => format!("update contractors set is_active = not is_active where id = {id}"),
            (0, _) => format!(
                "insert into contractors (id, company_name, email) values ({id}, 'C {kind}', {text})
                 on conflict (id) do update set company_name = excluded.company_name, email = excluded.email"
            ),
            (1, 0) => format!("delete from projects where id = {row}"),
            (1, 1) => format!("insert into projects (project_name, description) values ('New {kind}', {text})"),
            (1, _) => format!("update projects set description = {text}, status = null where id = {row}"),
            (_, 0) => format!("delete from field.poles where label = 'P.{row}'"),
            (_, 1) => format!("update field.poles set planted_at = 'infinity' where label = 'P.{row}'"),
            (_, 2) => format!("update field.poles set scrapped = not scrapped where label = 'P.{row}'"),
            (_, 3) => format!("delete from field.poles where label like 'P.{}%'", 1 + row % 9),
            (_, 4) => format!("update field.poles set note = {text}, height = {kind} where label like 'P.{row}%'"),
            (_, _) => format!(
                "insert into field.poles (label, tags, extra) values ('P.{row}', array[{kind}::text], '{{\"n\": [{kind}]}}')
                 on conflict (label) do update set tags = excluded.tags, extra = excluded.extra, planted_at = null"
            ),
        }
    }

    /// The key of the row, for a refusal of it.
    fn key(&self) -> String {
        match self.table {
            1 => self.row.to_string(),
            _ => format!("P.{}", self.row),
        }
    }
}

/// One sync, and what happens before it and meanwhile.
#[derive(Debug, Clone)]
struct Round {
    edits: Vec<Edit>,
    refused: Vec<Edit>,
    /// At which operations from now on the process dies.
    deaths: Vec<(usize, bool)>,
    /// What is wrong with Convex, from which second on, and for how many requests.
    fault: Option<(Fault, u64, u32)>,
    /// Edits meanwhile, and at which second.
    meanwhile: Vec<(u64, Edit)>,
}

fn edit() -> impl Strategy<Value = Edit> {
    (0..3_usize, 1..10_u32, 0..28_u32).prop_map(|(table, row, kind)| Edit { table, row, kind })
}

fn round() -> impl Strategy<Value = Round> {
    let faults = prop::sample::select(vec![
        Fault::Reset,
        Fault::LostAnswer,
        Fault::ServerError,
        Fault::TooManyRequests,
        Fault::Refuse,
    ]);
    (
        prop::collection::vec(edit(), 0..12),
        prop::collection::vec(edit().prop_filter("a key that is known", |edit| edit.table > 0), 0..3),
        prop::collection::vec((0..60_usize, any::<bool>()), 0..4),
        prop::option::of((faults, 0..20_u64, 1..4_u32)),
        prop::collection::vec((0..20_u64, edit()), 0..3),
    )
        .prop_map(|(edits, refused, deaths, fault, meanwhile)| Round {
            edits,
            refused,
            deaths,
            fault,
            meanwhile,
        })
}

struct World {
    simulation: Simulation,
    sandbox: Sandbox,
    server: Arc<Server>,
}

impl World {
    fn new(server: &Arc<Server>) -> Self {
        let simulation = Simulation::default();
        let sandbox = Sandbox::open(Scene::new(simulation.clock())).unwrap();
        let services = Services::from_settings(sandbox.settings()).unwrap();
        let neon = Postgres::new(server.url().into()).unwrap();
        let tables = Arc::new(Tables::read(Some(TABLES)).unwrap());
        let services = Services { neon: Arc::new(Waiting(server.runtime.clone(), neon)), tables, ..services };
        let mut simulation = simulation.with(workflow(&services.tables).with(services));
        simulation.duplicate_deliveries();
        Self { simulation, sandbox, server: server.clone() }
    }

    /// Runs a sync, and answers its output if it completed.
    fn sync(&mut self) -> Option<Value> {
        let run = self.simulation.send_event(&SyncRequested {}).remove(0);
        self.simulation.run_until_idle();
        assert_eq!(self.simulation.violations(), [""; 0]);
        (self.simulation.run(&run).status == Status::Completed).then(|| self.simulation.output(&run))
    }

    fn play(&mut self, round: &Round) {
        let convex = self.sandbox.convex();
        for edit in &round.edits {
            self.server.execute(&edit.sql());
        }
        convex.accept_all_rows();
        for edit in &round.refused {
            convex.refuse_row(&edit.key());
        }
        let (began, operations) = (self.simulation.elapsed(), self.simulation.operations().len());
        for (operation, before) in &round.deaths {
            let when = if *before { When::Before } else { When::After };
            self.simulation.cut_off(CutOff { operation: operations + operation, when });
        }
        if let Some((fault, second, times)) = round.fault {
            let sandbox = self.sandbox.clone();
            let at = began + durable::seconds(second);
            self.simulation.at(at, move |_| sandbox.convex().break_down(fault, Some(times)));
        }
        for (second, edit) in round.meanwhile.clone() {
            let (server, at) = (self.server.clone(), began + durable::seconds(second));
            self.simulation.at(at, move |_| server.execute(&edit.sql()));
        }
        let output = self.sync();
        self.sandbox.convex().mend();
        // What was edited behind its back is for the next sync.
        if let Some(output) = output.filter(|_| round.meanwhile.is_empty()) {
            let refused: HashSet<_> = round.refused.iter().map(Edit::key).collect();
            self.assert_equal(&refused);
            for table in 0..3 {
                let [read, changed, unchanged, _, refused] = counts(&output, table);
                assert_eq!(read, changed + unchanged + refused, "{output}");
            }
        }
    }

    /// That Convex holds what Neon does, rows that are refused aside.
    fn assert_equal(&self, refused: &HashSet<String>) {
        for (table, question) in EXPECTED {
            let mut expected: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
            for (key, mut document) in self.server.documents(question) {
                document.insert("neon_id".to_owned(), key.clone().into());
                expected.insert(key, document);
            }
            let infinite =
                self.server.keys("select label::text from field.poles where planted_at = 'infinity'");
            let is_judged =
                |key: &String| !refused.contains(key) && (table != "sow_poles" || !infinite.contains(key));
            let mut mirrored = self.sandbox.convex().live(table);
            mirrored.retain(|key, _| is_judged(key));
            expected.retain(|key, _| is_judged(key));
            assert_eq!(mirrored, expected, "{table}");
        }
    }
}

#[test]
fn whatever_happens_the_mirror_ends_equal() {
    with_server(|server| {
        server.execute(SCHEMA);
        // Each case goes on with what the one before it left in Neon, and begins with an empty mirror.
        let config = ProptestConfig {
            cases: 20,
            max_shrink_iters: 0,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        proptest!(config, |(rounds in prop::collection::vec(round(), 1..5))| {
            let mut world = World::new(server);
            for round in &rounds {
                world.play(round);
            }
            world.sandbox.convex().accept_all_rows();
            world.sync().expect("an undisturbed sync completes");
            world.assert_equal(&HashSet::new());
            let output = world.sync().expect("and so does another");
            for table in 0..3 {
                let [_, changed, _, removed, _] = counts(&output, table);
                prop_assert_eq!((changed, removed), (0, 0));
            }
        });
    });
}
