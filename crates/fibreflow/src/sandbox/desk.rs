//! What all services share: the time, the switch for faults, the count of requests, the log.

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use durable::{Clock, after};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::{Fault, Scene, effects::Log};

/// What a service has at hand.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) name: &'static str,
    pub(super) log: Arc<Log>,
    clock: Arc<dyn Clock>,
    time_scale: u32,
    switch: Mutex<Switch>,
}

#[derive(Debug, Default)]
struct Switch {
    fault: Option<Fault>,
    /// For how many requests more; `None` until it is switched off.
    times: Option<u32>,
    requests: u64,
    /// Those of them that are not about its health.
    orders: u64,
}

/// Paths that say how the service is rather than do something, as those of `/agents/` do: only a fault of the whole service
/// meets them.
const ACCOUNTS: [&str; 3] = ["/health", "/list-recent", "/v1/models"];

impl Desk {
    pub(super) fn new(name: &'static str, scene: &Scene, log: Arc<Log>) -> Arc<Self> {
        let (clock, time_scale) = (scene.clock.clone(), scene.time_scale.max(1));
        Arc::new(Self { name, log, clock, time_scale, switch: Mutex::default() })
    }

    fn switch(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// When something that takes this long, and starts now, ends.
    pub(super) fn ends(&self, duration: Duration) -> Timestamp {
        after(self.now(), duration / self.time_scale)
    }

    pub(super) async fn until(&self, time: Timestamp) {
        self.clock.sleep_until(time).await;
    }

    pub(super) async fn take(&self, duration: Duration) {
        self.until(self.ends(duration)).await;
    }

    /// Lets the next `times` requests, or all until it is switched off, meet a fault.
    pub(super) fn break_down(&self, fault: Fault, times: Option<u32>) {
        let mut switch = self.switch();
        (switch.fault, switch.times) = (Some(fault), times);
    }

    pub(super) fn mend(&self) {
        let mut switch = self.switch();
        (switch.fault, switch.times) = (None, None);
    }

    /// How many requests came, those about its health included.
    pub(super) fn requests(&self) -> u64 {
        self.switch().requests
    }

    /// How many requests came that ask it to do something.
    pub(super) fn orders(&self) -> u64 {
        self.switch().orders
    }

    /// The state the whole service is in, if something is wrong with it.
    pub(super) fn state(&self) -> Option<Fault> {
        self.switch().fault.filter(|fault| fault.is_state())
    }

    /// What a request meets.
    fn meet(&self, path: &str) -> Option<Fault> {
        let mut switch = self.switch();
        switch.requests += 1;
        let is_account = ACCOUNTS.contains(&path) || path.starts_with("/agents/");
        switch.orders += u64::from(!is_account);
        let fault = switch.fault?;
        // A model that is missing is missing from the list of models, too.
        if is_account && !(fault == Fault::ModelMissing && path == "/v1/models") {
            return Some(fault).filter(|fault| fault.is_state());
        }
        if fault == Fault::Dies {
            (switch.fault, switch.times) = (Some(Fault::Unreachable), None);
            return Some(Fault::Reset);
        }
        if let Some(times) = switch.times {
            switch.times = Some(times - 1);
            if times <= 1 {
                (switch.fault, switch.times) = (None, None);
            }
        }
        Some(fault)
    }
}

/// A service's routes, with what meets its requests before them, and the switch for faults.
pub(super) fn served(desk: &Arc<Desk>, routes: Router) -> Router {
    let switch = Router::new()
        .route("/_sandbox", get(account))
        .route("/_sandbox/fault", put(break_down).delete(mend))
        .with_state(desk.clone());
    routes.layer(from_fn_with_state(desk.clone(), meet)).merge(switch)
}

async fn meet(State(desk): State<Arc<Desk>>, mut request: Request, next: Next) -> Response {
    match desk.meet(request.uri().path()) {
        Some(Fault::Hang) => pending().await,
        Some(Fault::Reset | Fault::Unreachable) => reset(),
        Some(Fault::LostAnswer) => {
            next.run(request).await;
            reset()
        }
        Some(Fault::BusyGateway) => {
            next.run(request).await;
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "7")], "busy").into_response()
        }
        Some(Fault::TooManyRequests) => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "7")], "too many requests").into_response()
        }
        Some(Fault::ServerError) => (StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response(),
        // The service's own faults are its own to act.
        Some(fault) => {
            request.extensions_mut().insert(fault);
            next.run(request).await
        }
        None => next.run(request).await,
    }
}

/// An answer that breaks off: the server resets the connection.
fn reset() -> Response {
    let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("connection reset")) });
    Response::new(Body::from_stream(broken))
}

/// Whether a header has the value it must have.
pub(super) fn has(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers.get(name).is_some_and(|header| header == value)
}

#[derive(Deserialize)]
struct BreakDown {
    fault: Fault,
    times: Option<u32>,
}

async fn account(State(desk): State<Arc<Desk>>) -> Json<serde_json::Value> {
    let switch = desk.switch();
    Json(json!({
        "service": desk.name, "fault": switch.fault, "times": switch.times, "requests": switch.requests,
    }))
}

async fn break_down(State(desk): State<Arc<Desk>>, Json(order): Json<BreakDown>) -> Response {
    if !order.fault.suits(desk.name) {
        let problem = format!("fault: {} cannot be wrong with {}", order.fault, desk.name);
        return (StatusCode::UNPROCESSABLE_ENTITY, problem).into_response();
    }
    desk.break_down(order.fault, order.times.filter(|times| *times > 0));
    account(State(desk)).await.into_response()
}

async fn mend(State(desk): State<Arc<Desk>>) -> Response {
    desk.mend();
    account(State(desk)).await.into_response()
}

/// What every service's stand-in can be asked and told from outside.
macro_rules! switchable {
    ($service:ty) => {
        impl $service {
            /// Lets the next `times` requests, or all until [`mend`](Self::mend), meet a fault.
            pub fn break_down(&self, fault: $crate::sandbox::Fault, times: Option<u32>) {
                self.desk.break_down(fault, times);
            }

            /// Switches its fault off.
            pub fn mend(&self) {
                self.desk.mend();
            }

            /// How many requests came, those about its health included.
            pub fn requests(&self) -> u64 {
                self.desk.requests()
            }
        }
    };
}
pub(super) use switchable;
