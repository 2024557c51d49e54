//! The workflows there are.

use durable::{Definition, Result, Runnable, Workflow};
use fibreflow::{config::Settings, http::Http, mirror::Tables};

use crate::environment;

/// What is known of every workflow without its services: which events it listens to, and what their data must be.
pub(crate) fn definitions() -> Vec<Definition> {
    vec![
        build_agent::workflow().definition().clone(),
        sync_workflow(&environment::setting).definition().clone(),
        send_whatsapp::workflow().definition().clone(),
        send_whatsapp::watch().definition().clone(),
        evaluate_foto::workflow().definition().clone(),
    ]
}

/// Started by the events that its configuration names, unless that is wrong: then it does not run, and says so.
fn sync_workflow(lookup: &dyn Fn(&str) -> Option<String>) -> Workflow<sync_databases::Services> {
    let tables = Tables::from_setting(lookup("SYNC_TABLES").as_deref());
    sync_databases::workflow(&tables.unwrap_or_default())
}

/// The workflows that can run here, and those that cannot.
#[derive(Debug, Default)]
pub(crate) struct Configured {
    pub(crate) runnables: Vec<Runnable>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// A workflow whose services are not known.
#[derive(Debug, Clone)]
pub(crate) struct LeftOut {
    pub(crate) workflow: String,
    pub(crate) reason: String,
}

impl Configured {
    /// The workflows with the services that the settings name.
    pub(crate) fn new(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let http = Http::network()?;
        let settings = || Settings::new(lookup, http.clone());
        let mut configured = Self::default();
        configured.add(build_agent::workflow(), build_agent::Services::from_settings(settings()));
        configured.add(sync_workflow(lookup), sync_databases::Services::from_settings(settings()));
        configured.add(send_whatsapp::workflow(), send_whatsapp::Services::from_settings(settings()));
        configured.add(send_whatsapp::watch(), send_whatsapp::Watch::from_settings(settings()));
        configured.add(evaluate_foto::workflow(), evaluate_foto::Services::from_settings(settings()));
        Ok(configured)
    }

    fn add<S: Clone + Send + Sync + 'static>(&mut self, workflow: Workflow<S>, services: Result<S>) {
        match services {
            Ok(services) => self.runnables.push(workflow.with(services)),
            Err(error) => self.left_out.push(LeftOut {
                workflow: workflow.definition().name.clone(),
                reason: error.message().trim_start_matches("settings: ").to_owned(),
            }),
        }
    }

    /// Whether a workflow runs here.
    pub(crate) fn has(&self, workflow: &str) -> bool {
        self.runnables.iter().any(|runnable| runnable.definition().name == workflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_without_settings_is_left_out_and_says_which() {
        let lookup = |name: &str| (name == "HARNESS_URL").then(|| "http://127.0.0.1:1".to_owned());
        let configured = Configured::new(&lookup).unwrap();
        assert!(configured.has("build-agent") && !configured.has("send-whatsapp"));
        let reason = |workflow: &str| {
            let is_it = |left_out: &&LeftOut| left_out.workflow == workflow;
            configured.left_out.iter().find(is_it).unwrap().reason.clone()
        };
        assert_eq!(reason("send-whatsapp"), "WHATSAPP_URL is missing; WHATSAPP_SECRET is missing");
    }

    #[test]
    fn no_two_workflows_have_one_name() {
        let mut names: Vec<_> = definitions().into_iter().map(|definition| definition.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), definitions().len());
    }
}
