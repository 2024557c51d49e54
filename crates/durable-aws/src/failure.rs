//! Errors of AWS as errors of the engine.

use aws_sdk_dynamodb::{
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types::CancellationReason,
};
use durable::Error;

/// `DynamoDB: UpdateItem: …`: worth another attempt, since whatever it is, the message comes again and ends with the dead
/// letters when it stays.
pub(crate) fn failed<E, R>(doing: &str, error: SdkError<E, R>) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let text = match error.as_service_error() {
        Some(service) => match (service.code(), service.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            _ => DisplayErrorContext(&error).to_string(),
        },
        None => DisplayErrorContext(&error).to_string(),
    };
    Error::new(format!("{doing}: {text}"))
}

/// Why an item of a transaction stood in its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It did not.
    None,
    /// Its condition does not hold.
    Condition,
    /// Another request was at work on the item, or there are too many of them: the same transaction may do later.
    Busy,
    /// Something that no repetition mends.
    Other,
}

pub(crate) fn reason(reason: &CancellationReason) -> Reason {
    match reason.code().unwrap_or("None") {
        "None" => Reason::None,
        "ConditionalCheckFailed" => Reason::Condition,
        "TransactionConflict" | "ProvisionedThroughputExceeded" | "ThrottlingError" => Reason::Busy,
        _ => Reason::Other,
    }
}
