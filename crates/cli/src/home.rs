//! The folder that holds the state.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use durable_local::Store;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    catalogue,
    failure::{Failure, Result},
};

/// The folder that holds the state.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

/// What a running server tells other processes; `server.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) pid: u32,
    pub(crate) url: String,
}

/// Where the sandbox's services are; `sandbox.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SandboxServices {
    pub(crate) services: Vec<SandboxService>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SandboxService {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
}

/// A file that is there while this process is, unless it is killed.
#[derive(Debug)]
pub(crate) struct Notice(PathBuf);

impl Home {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// The store, which is made when there is none.
    pub(crate) fn store(&self) -> Result<Store> {
        Ok(Store::open(&self.0, &catalogue::definitions())?)
    }

    /// The store, for commands that have nothing to say when there is none.
    pub(crate) fn existing_store(&self) -> Result<Store> {
        if self.0.join("durable.db").is_file() {
            return self.store();
        }
        Err(Failure::new(format!(
            "there is no state in {}: start `fibreflow dev` or send an event, or name another folder with --home or FIBREFLOW_HOME",
            self.0.display()
        )))
    }

    pub(crate) fn post_server(&self, server: &Server) -> Result<Notice> {
        self.post("server.json", server)
    }

    pub(crate) fn post_sandbox(&self, sandbox: &SandboxServices) -> Result<Notice> {
        self.post("sandbox.json", sandbox)
    }

    /// The sandbox that was last seen running here.
    pub(crate) fn sandbox(&self) -> Option<SandboxServices> {
        self.read("sandbox.json")
    }

    fn post<T: Serialize>(&self, file: &str, content: &T) -> Result<Notice> {
        let path = self.0.join(file);
        // Renamed into place: whoever reads it reads all of it.
        let unfinished = self.0.join(format!("{file}.new"));
        fs::write(&unfinished, serde_json::to_vec_pretty(content)?)?;
        fs::rename(unfinished, &path)?;
        Ok(Notice(path))
    }

    fn read<T: DeserializeOwned>(&self, file: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.0.join(file)).ok()?).ok()
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        // Left behind, it names a server that does not answer.
        let _ = fs::remove_file(&self.0);
    }
}
