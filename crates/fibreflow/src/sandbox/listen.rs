//! The services over sockets.

use std::net::{Ipv4Addr, SocketAddr};

use axum::serve::ListenerExt;
use durable::{Error, Result};
use tokio::{net::TcpListener, task::JoinSet};

use super::{Sandbox, setting};

/// The services, each on a port of this machine. They end when it is dropped.
#[derive(Debug)]
pub struct Listening {
    services: Vec<(&'static str, SocketAddr)>,
    _servers: JoinSet<()>,
}

impl Sandbox {
    /// Serves each service on a port of its own on 127.0.0.1, from `first_port` on; 0 takes ports that are free.
    pub async fn listen(&self, first_port: u16) -> Result<Listening> {
        let mut services = Vec::new();
        let mut servers = JoinSet::new();
        for (port, (name, router)) in (first_port..).zip(self.routers()) {
            let port = if first_port == 0 { 0 } else { port };
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
                Error::fatal(format!("cannot serve the sandbox's {name} on 127.0.0.1:{port}: {error}"))
            })?;
            services.push((name, listener.local_addr()?));
            // A connection that is dropped is reset, as a server that crashes resets it.
            let listener = listener.tap_io(|socket| {
                let _ = socket.set_zero_linger();
            });
            servers.spawn(async move {
                let _ = axum::serve(listener, router).await;
            });
        }
        Ok(Listening { services, _servers: servers })
    }
}

impl Listening {
    /// Each service's name and address.
    pub fn services(&self) -> Vec<(&'static str, SocketAddr)> {
        self.services.clone()
    }

    /// The setting of this name, for clients that use the network.
    pub fn setting(&self, name: &str) -> Option<String> {
        let address = |service: &str| {
            let (_, address) = self.services.iter().find(|(name, _)| *name == service)?;
            Some(format!("http://{address}"))
        };
        setting(name, address)
    }
}
