//! The environment of this process: looked at here and nowhere else.

/// The setting of this name, if it is there and not empty.
#[expect(clippy::disallowed_methods, reason = "the one place where settings are read")]
pub(crate) fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Who uses this command, as the audit trail names them.
pub(crate) fn who() -> String {
    let name = setting("FIBREFLOW_USER").or_else(|| setting("USER"));
    format!("cli:{}", name.as_deref().unwrap_or("unknown"))
}
