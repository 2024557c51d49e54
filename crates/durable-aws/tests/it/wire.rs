//! The HTTP layer: counts requests by operation and what they consume, and lets some go wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use serde_json::Value;

use crate::capacity::{Units, Writes, read_units};

/// What goes wrong with the next request of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// It is carried out, and its answer is lost: the SDK asks again.
    LostAnswer,
    /// Another transaction is at work on the items.
    Conflict,
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<String, usize>,
    /// `None` unless somebody measures: that takes further requests.
    units: Option<Units>,
    faults: Vec<(&'static str, Fault)>,
}

/// Shared by all clients of a stand-in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<State>>);

impl Wire {
    pub(crate) fn client(&self) -> SharedHttpClient {
        SharedHttpClient::new(Counting { wire: self.clone(), inner: Builder::new().build_http() })
    }

    /// The requests since the last time.
    pub(crate) fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.0.lock().unwrap().counts)
    }

    /// Counts requests that were taken once more.
    pub(crate) fn give_back(&self, requests: BTreeMap<String, usize>) {
        for (operation, count) in requests {
            *self.0.lock().unwrap().counts.entry(operation).or_default() += count;
        }
    }

    /// Adds up, from now on, what requests to DynamoDB consume.
    pub(crate) fn measure(&self) {
        self.0.lock().unwrap().units = Some(Units::default());
    }

    /// What was consumed since somebody began to measure; measures no longer.
    pub(crate) fn measured(&self) -> Units {
        self.0.lock().unwrap().units.take().unwrap_or_default()
    }

    fn is_measured(&self) -> bool {
        self.0.lock().unwrap().units.is_some()
    }

    fn consumed(&self, units: Units) {
        if let Some(sum) = &mut self.0.lock().unwrap().units {
            *sum += units;
        }
    }

    pub(crate) fn fault(&self, operation: &'static str, fault: Fault) {
        self.0.lock().unwrap().faults.push((operation, fault));
    }

    pub(crate) fn faults_left(&self) -> usize {
        self.0.lock().unwrap().faults.len()
    }

    fn seen(&self, operation: &str) -> Option<Fault> {
        let mut state = self.0.lock().unwrap();
        *state.counts.entry(operation.to_owned()).or_default() += 1;
        let place = state.faults.iter().position(|(name, _)| *name == operation)?;
        Some(state.faults.remove(place).1)
    }
}

#[derive(Debug)]
struct Counting {
    wire: Wire,
    inner: SharedHttpClient,
}

impl HttpClient for Counting {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { wire: self.wire.clone(), inner })
    }
}

#[derive(Debug)]
struct Connector {
    wire: Wire,
    inner: SharedHttpConnector,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let fault = self.wire.seen(&operation(&request));
        match fault {
            None if self.wire.is_measured() && request.headers().contains_key("x-amz-target") => {
                let (inner, wire) = (self.inner.clone(), self.wire.clone());
                HttpConnectorFuture::new(metered(inner, wire, request))
            }
            None => self.inner.call(request),
            Some(Fault::Conflict) => HttpConnectorFuture::ready(Ok(conflict())),
            Some(Fault::LostAnswer) => {
                let answer = self.inner.call(request);
                HttpConnectorFuture::new(async move {
                    answer.await?;
                    Err(ConnectorError::io("the connection was reset".into()))
                })
            }
        }
    }
}

/// Carries a request out, and adds what it consumes.
async fn metered(
    inner: SharedHttpConnector,
    wire: Wire,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let operation = operation(&request);
    let asked: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
    let template = request.try_clone().unwrap();
    let ask = |operation: &'static str, body: Value| {
        let (inner, mut request) = (inner.clone(), template.try_clone().unwrap());
        let body = body.to_string();
        request.headers_mut().insert("x-amz-target", format!("DynamoDB_20120810.{operation}"));
        request.headers_mut().insert("content-length", body.len().to_string());
        *request.body_mut() = SdkBody::from(body);
        Box::pin(async move {
            let answer = inner.call(request).await.unwrap();
            let bytes = ByteStream::new(answer.into_body()).collect().await.unwrap().into_bytes();
            serde_json::from_slice(&bytes).unwrap()
        }) as std::pin::Pin<Box<dyn Future<Output = Value> + Send>>
    };
    let read = match operation.as_str() {
        "GetItem" => read_units(&operation, &asked, &ask("GetItem", asked.clone()).await),
        "Query" => read_units(&operation, &asked, &ask("Query", asked.clone()).await),
        "BatchGetItem" => read_units(&operation, &asked, &ask("BatchGetItem", asked.clone()).await),
        _ => 0.0,
    };
    let writes = Writes::of(&operation, &asked, &ask).await;
    let answer = inner.call(request).await?;
    let write = writes.units(&ask).await;
    wire.consumed(Units { write, read });
    Ok(answer)
}

/// `PutItem`, `SendMessage`, …; of S3, which has no operation in a header, the method.
fn operation(request: &HttpRequest) -> String {
    match request.headers().get("x-amz-target") {
        Some(target) => target.rsplit('.').next().unwrap().to_owned(),
        None if request.uri().contains("/schedules/") => "CreateSchedule".to_owned(),
        None => format!("S3 {}", request.method()),
    }
}

fn conflict() -> HttpResponse {
    let body = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message":"Transaction cancelled","CancellationReasons":[{"Code":"TransactionConflict","Message":"x"},{"Code":"None"}]}"#;
    let mut response = HttpResponse::new(StatusCode::try_from(400).unwrap(), SdkBody::from(body));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    response
}
