//! Who signed a request, and what they may do.

use console::Role;
use durable::{Error, Result};

/// Which IAM roles and users get in, and as what: `role/NAME` or `user/NAME`. Nobody else does, whatever IAM lets them call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers {
    operators: Vec<String>,
    viewers: Vec<String>,
}

impl Signers {
    /// Signers from two texts with commas between their entries, as settings hold them.
    pub fn from_settings(operators: &str, viewers: &str) -> Result<Self> {
        Ok(Self {
            operators: read("CONSOLE_OPERATORS", operators)?,
            viewers: read("CONSOLE_VIEWERS", viewers)?,
        })
    }

    /// What whoever has this ARN may do; `None` when they do not get in.
    pub fn role_of(&self, arn: &str) -> Option<Role> {
        let name = name_of(arn)?;
        if self.operators.contains(&name) {
            Some(Role::Operator)
        } else {
            self.viewers.contains(&name).then_some(Role::Viewer)
        }
    }
}

/// `role/NAME` of a session of that role, `user/NAME` of a user. Paths are left out, as IAM leaves them out of sessions.
pub fn name_of(arn: &str) -> Option<String> {
    let mut parts = arn.splitn(6, ':');
    let service = parts.by_ref().nth(2)?;
    let resource = parts.nth(2)?;
    let mut steps = resource.split('/');
    match (service, steps.next()?) {
        ("sts", "assumed-role") => Some(format!("role/{}", steps.next()?)),
        ("iam", "user") => Some(format!("user/{}", steps.next_back()?)),
        _ => None,
    }
}

fn read(field: &str, text: &str) -> Result<Vec<String>> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let is_name = |entry: &str| match entry.split_once('/') {
        Some(("role" | "user", name)) => !name.is_empty() && !name.contains(['/', '*']),
        _ => false,
    };
    entries
        .map(|entry| {
            let wrong =
                || Error::fatal(format!("{field}: expected role/NAME or user/NAME, with commas between"));
            if is_name(entry) { Ok(entry.to_owned()) } else { Err(wrong()) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_are_named_get_in() {
        let signers = Signers::from_settings("role/ops, user/ana", "role/dev").unwrap();
        for (arn, role) in [
            ("arn:aws:sts::111122223333:assumed-role/ops/ana@fibreflow", Some(Role::Operator)),
            ("arn:aws:iam::111122223333:user/team/ana", Some(Role::Operator)),
            ("arn:aws:sts::111122223333:assumed-role/dev/x", Some(Role::Viewer)),
            ("arn:aws:sts::111122223333:assumed-role/ops2/x", None),
            ("arn:aws:sts::111122223333:federated-user/ana", None),
            ("arn:aws:iam::111122223333:root", None),
            ("arn:aws:iam::111122223333:role/ops", None),
            ("", None),
        ] {
            assert_eq!(signers.role_of(arn), role, "{arn}");
        }
        assert_eq!(Signers::default().role_of("arn:aws:iam::111122223333:user/ana"), None);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["ops", "role/", "role/*", "arn:aws:iam::1:role/ops", "group/x"] {
            let error = Signers::from_settings(text, "").unwrap_err();
            assert!(error.message().starts_with("CONSOLE_OPERATORS: expected role/NAME"), "{text}: {error}");
        }
    }
}
