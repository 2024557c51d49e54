//! Who of those that a provider knows gets in, and as what.

use super::Role;

/// Who gets in, and as what: e-mail addresses, or `@domain` for all of a domain. Nobody else does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Those who may act.
    pub operators: Vec<String>,
    /// Those who may look.
    pub viewers: Vec<String>,
}

impl Members {
    /// Members from two texts with commas between their entries, as settings hold them.
    pub fn from_settings(operators: &str, viewers: &str) -> durable::Result<Self> {
        Ok(Self { operators: read("operators", operators)?, viewers: read("viewers", viewers)? })
    }

    /// What whoever has this address may do; `None` when they do not get in.
    pub fn role_of(&self, email: &str) -> Option<Role> {
        let email = email.trim().to_ascii_lowercase();
        let is_one_of = |entries: &[String]| {
            entries.iter().any(|entry| match entry.strip_prefix('@') {
                Some(domain) => {
                    email.rsplit_once('@').is_some_and(|(user, of)| !user.is_empty() && of == domain)
                }
                None => *entry == email,
            })
        };
        if is_one_of(&self.operators) {
            Some(Role::Operator)
        } else {
            is_one_of(&self.viewers).then_some(Role::Viewer)
        }
    }
}

fn read(field: &str, text: &str) -> durable::Result<Vec<String>> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| match entry.rsplit_once('@') {
            Some((_, domain)) if domain.contains('.') => Ok(entry.to_ascii_lowercase()),
            _ => Err(durable::Error::fatal(format!(
                "{field}: expected e-mail addresses, or @domain, with commas between"
            ))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_its_whole_domain_gets_in_and_nobody_else() {
        let members =
            Members::from_settings("Ana@fibreflow.example", "@fibreflow.example, bo@x.example").unwrap();
        for (email, role) in [
            ("ana@fibreflow.example", Some(Role::Operator)),
            ("ANA@FIBREFLOW.EXAMPLE", Some(Role::Operator)),
            ("eve@fibreflow.example", Some(Role::Viewer)),
            ("bo@x.example", Some(Role::Viewer)),
            ("eve@x.example", None),
            ("eve@evil.example@x.example", None),
            ("eve@sub.fibreflow.example", None),
            ("ana@fibreflow.example.evil.example", None),
            ("@fibreflow.example", None),
            ("", None),
        ] {
            assert_eq!(members.role_of(email), role, "{email}");
        }
        assert_eq!(Members::default().role_of("ana@fibreflow.example"), None);
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in ["ana", "*", "@", "@com"] {
            assert!(Members::from_settings("", text).unwrap_err().message().starts_with("viewers: expected"));
        }
    }
}
