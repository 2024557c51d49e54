//! What a command's end means: a plain function of its exit code and what it wrote.

use durable::{Error, Result};
use serde::Deserialize;
use serde_json::Value;

/// What a command that failed may write in place of a result.
#[derive(Debug, Deserialize)]
struct Failure {
    error: String,
    /// `false`: trying again cannot help.
    #[serde(default = "yes")]
    retry: bool,
    /// Not to be tried again within so many seconds.
    retry_after: Option<f64>,
    /// Whether it certainly had no effect.
    #[serde(default)]
    no_effect: bool,
}

fn yes() -> bool {
    true
}

/// The result of a command that ended with `code`, having written `written`, and logged `last` as its last line.
pub(crate) fn read(code: i32, written: &[u8], last: Option<&str>) -> Result<Value> {
    if code == 0 {
        return serde_json::from_slice(written).map_err(|error| {
            let start: String = String::from_utf8_lossy(written).chars().take(200).collect();
            Error::new(format!("the result is not JSON: {error}: {start}"))
        });
    }
    Err(match serde_json::from_slice::<Failure>(written) {
        Ok(failure) => failure.into(),
        Err(_) => Error::new(match last {
            Some(last) => format!("exit code {code}: {last}"),
            None => format!("exit code {code}"),
        }),
    })
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let delay = failure.retry_after.and_then(|delay| std::time::Duration::try_from_secs_f64(delay).ok());
        match (failure.retry, delay, failure.no_effect) {
            (false, ..) => Self::fatal(failure.error),
            (true, Some(delay), _) => Self::retry_after(delay, failure.error),
            (true, None, true) => Self::no_effect(failure.error),
            (true, None, false) => Self::new(failure.error),
        }
    }
}

#[cfg(test)]
mod tests {
    use durable::{ErrorKind, seconds};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_is_json() {
        assert_eq!(read(0, b"{\"a\": 1}\n", None).unwrap(), json!({"a": 1}));
        let error = read(0, b"All done!", None).unwrap_err();
        assert!(error.is_retryable() && error.message().ends_with(": All done!"), "{error}");
        assert!(read(0, b"", None).unwrap_err().message().starts_with("the result is not JSON"));
    }

    #[test]
    fn a_failure_says_what_trying_again_would_do() {
        for (written, kind, delay) in [
            (json!({"error": "x"}), ErrorKind::Retryable, None),
            (json!({"error": "x", "retry": false}), ErrorKind::Fatal, None),
            (json!({"error": "x", "no_effect": true}), ErrorKind::NoEffect, None),
            (json!({"error": "x", "retry_after": 90}), ErrorKind::NoEffect, Some(seconds(90))),
        ] {
            let error = read(1, written.to_string().as_bytes(), Some("log")).unwrap_err();
            assert_eq!((error.message(), error.kind(), error.delay()), ("x", kind, delay), "{written}");
        }
    }

    #[test]
    fn without_words_of_its_own_its_exit_code_and_last_line_are_the_reason() {
        assert_eq!(
            read(3, b"{\"x\":1}", Some("API error 429")).unwrap_err().message(),
            "exit code 3: API error 429"
        );
        assert_eq!(read(137, b"", None).unwrap_err().message(), "exit code 137");
    }
}
