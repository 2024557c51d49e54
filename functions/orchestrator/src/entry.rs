//! How a task comes in: as it is, when the function is invoked directly, or as the body of a request to its URL.

use base64::{Engine, prelude::BASE64_STANDARD};
use durable::{Bus, Error, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Answer, Registries, handle};

/// Answers one invocation. `request` is its id: that of a task that brings none.
///
/// Whoever invokes the function directly is given the error; a request to its URL, a status of HTTP and `{"error": …}`.
pub async fn invoke(
    registries: &Registries,
    bus: &dyn Bus,
    payload: Value,
    request: &str,
    now: Timestamp,
) -> Result<Value> {
    let Some(method) = payload.pointer("/requestContext/http/method") else {
        let registry = registries.current(now).await?;
        return Ok(serde_json::to_value(handle(&registry, bus, payload, request, now).await?)?);
    };
    if method != "POST" {
        return Ok(response(405, &json!({"error": "expected POST, with a task as the body"})));
    }
    let answered = async {
        let task = task_of(&payload)?;
        handle(&*registries.current(now).await?, bus, task, request, now).await
    };
    Ok(match answered.await {
        Ok(answer @ Answer::Queued { .. }) => response(202, &serde_json::to_value(answer)?),
        Ok(answer) => response(200, &serde_json::to_value(answer)?),
        // What the bus refused may be accepted later, and a registry mended; what cannot be read never will be.
        Err(error) if error.is_retryable() => response(503, &json!({"error": error.message()})),
        Err(error) => response(400, &json!({"error": error.message()})),
    })
}

fn task_of(request: &Value) -> Result<Value> {
    let wrong =
        |error: &dyn std::fmt::Display| Error::fatal(format!("body: {error}; expected a task as JSON"));
    let body = request["body"].as_str().unwrap_or_default();
    if request["isBase64Encoded"] == true {
        let bytes = BASE64_STANDARD.decode(body).map_err(|error| wrong(&error))?;
        return serde_json::from_slice(&bytes).map_err(|error| wrong(&error));
    }
    serde_json::from_str(body).map_err(|error| wrong(&error))
}

fn response(status: u16, body: &Value) -> Value {
    json!({
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": body.to_string(),
        "isBase64Encoded": false,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use durable::Envelope;
    use futures::executor::block_on;

    use super::*;

    #[derive(Debug, Default)]
    struct Sent {
        events: Mutex<Vec<Envelope>>,
        is_down: bool,
    }

    #[async_trait]
    impl Bus for Sent {
        async fn publish(&self, events: &[Envelope]) -> Result<()> {
            self.events.lock().unwrap().extend_from_slice(events);
            if self.is_down { Err(Error::new("EventBridge: PutEvents: busy")) } else { Ok(()) }
        }
    }

    fn answer(bus: &Sent, payload: Value) -> Result<Value> {
        block_on(invoke(&Registries::shipped()?, bus, payload, "request-1", Timestamp::UNIX_EPOCH))
    }

    fn request(method: &str, body: &str, is_base64: bool) -> Value {
        json!({"requestContext": {"http": {"method": method}}, "body": body, "isBase64Encoded": is_base64})
    }

    fn long() -> Value {
        json!({"agent": "vps-monitor", "action": "audit", "estimated_duration": 90})
    }

    #[test]
    fn a_direct_invocation_is_answered_plainly() {
        let bus = Sent::default();
        assert_eq!(answer(&bus, long()).unwrap(), json!({"status": "queued", "id": "request-1"}));
        let [event] = &bus.events.lock().unwrap()[..] else { panic!("not one event") };
        assert_eq!((event.id.as_str(), event.name.as_str()), ("request-1", "vps-monitor/audit"));
        assert!(answer(&bus, json!({"agent": 1})).unwrap_err().message().starts_with("agent: "));
    }

    #[test]
    fn a_request_to_the_url_is_answered_with_a_status() {
        let bus = Sent::default();
        let status = |method: &str, body: &str, is_base64| {
            let answer = answer(&bus, request(method, body, is_base64)).unwrap();
            let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
            (answer["statusCode"].as_u64().unwrap(), body)
        };
        let queued = (202, json!({"status": "queued", "id": "request-1"}));
        assert_eq!(status("POST", &long().to_string(), false), queued);
        assert_eq!(status("POST", &BASE64_STANDARD.encode(long().to_string()), true), queued);
        assert_eq!(status("POST", r#"{"agent": "vps-monitor"}"#, false).0, 200);
        let (code, body) = status("POST", r#"{"agent": "#, false);
        assert!(code == 400 && body["error"].as_str().unwrap().starts_with("body: EOF"), "{body}");
        assert_eq!(status("POST", "", false).0, 400);
        assert_eq!(status("GET", "", false).0, 405);
    }

    #[test]
    fn without_a_registry_a_task_may_be_handed_in_again() {
        let missing = Registries::of(crate::FileSource("/no/such/registry.json".into()));
        let payload = request("POST", &long().to_string(), false);
        let bus = Sent::default();
        let answer = block_on(invoke(&missing, &bus, payload, "request-1", Timestamp::UNIX_EPOCH)).unwrap();
        assert_eq!(answer["statusCode"], 503);
        assert!(answer["body"].as_str().unwrap().contains("there is no registry: /no/such/registry.json"));
    }

    #[test]
    fn a_task_that_cannot_be_queued_now_may_be_handed_in_again() {
        let bus = Sent { is_down: true, ..Sent::default() };
        assert_eq!(answer(&bus, request("POST", &long().to_string(), false)).unwrap()["statusCode"], 503);
        assert!(answer(&bus, long()).unwrap_err().is_retryable());
    }
}
