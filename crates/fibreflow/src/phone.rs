//! Phone numbers and WhatsApp's addresses.

use std::{fmt, str::FromStr};

use durable::Error;
use sha2::{Digest, Sha256};

/// A phone number in E.164. Shown masked wherever it is logged.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Phone(String);

impl Phone {
    /// The number's digits, without the plus sign.
    pub fn digits(&self) -> &str {
        self.0.trim_start_matches('+')
    }

    /// The number with its plus sign: for requests and keys, not for logs.
    pub fn e164(&self) -> &str {
        &self.0
    }
}

impl FromStr for Phone {
    type Err = Error;

    /// Reads `+27…`, `27…` or South Africa's `0…`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong =
            || Error::fatal("phone: expected a number such as +27821234567, 27821234567 or 0821234567");
        let plain = text.trim();
        let international = !plain.starts_with(['+', '0']);
        let candidate = if international { format!("+{plain}") } else { plain.to_owned() };
        let number =
            phonenumber::parse(Some(phonenumber::country::Id::ZA), candidate).map_err(|_| wrong())?;
        if !number.is_valid() {
            return Err(wrong());
        }
        Ok(Self(number.format().mode(phonenumber::Mode::E164).to_string()))
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.0))
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Keeps the first three and the last four characters: `+27•••••4567`.
pub fn masked(number: &str) -> String {
    let count = number.chars().count();
    let hide = |(index, character)| if index >= 3 && index + 4 < count { '•' } else { character };
    number.chars().enumerate().map(hide).collect()
}

/// A text with every number in it that may be somebody's masked: seven digits in a row or more, an id of a group included.
pub fn without_numbers(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let digits = rest[start..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| start + end);
        shown.push_str(&rest[..start]);
        let number = &rest[start..digits];
        shown.push_str(&if number.len() < 7 { number.to_owned() } else { masked(number) });
        rest = &rest[digits..];
    }
    shown + rest
}

/// Whom WhatsApp delivers to.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A person, by number.
    Person(Phone),
    /// A group, by its id: `1203…@g.us`.
    Group(String),
    /// A person, by an id that hides the number: `…@lid`.
    Hidden(String),
}

impl Address {
    /// A name for keys, which people see: the address masked, with part of its hash to tell it from others that look alike.
    pub fn key(&self) -> String {
        let jid = self.jid();
        let hash = hex::encode(Sha256::digest(jid.as_bytes()));
        format!("{}#{}", masked(&jid), &hash[..12])
    }

    /// The address as WhatsApp writes it.
    pub fn jid(&self) -> String {
        match self {
            Self::Person(phone) => format!("{}@s.whatsapp.net", phone.digits()),
            Self::Group(jid) | Self::Hidden(jid) => jid.clone(),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let digits = |user: &str| !user.is_empty() && user.chars().all(|c| c.is_ascii_digit() || c == '-');
        match text.split_once('@') {
            None => text.parse().map(Self::Person),
            Some((user, "s.whatsapp.net")) => user.parse().map(Self::Person),
            Some((user, "g.us")) if digits(user) => Ok(Self::Group(text.to_owned())),
            Some((user, "lid")) if digits(user) => Ok(Self::Hidden(text.to_owned())),
            Some(_) => Err(Error::fatal(
                "phone: expected a number, or an address that ends in @s.whatsapp.net, @g.us or @lid",
            )),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(phone) => write!(f, "{phone}"),
            Self::Group(jid) | Self::Hidden(jid) => f.write_str(&masked(jid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_be_written_in_three_ways() {
        for text in ["+27821234567", "27821234567", "0821234567", " 082 123 4567 "] {
            assert_eq!(text.parse::<Phone>().unwrap().e164(), "+27821234567", "{text}");
        }
        for text in ["", "12", "hello", "+27", "08212345678901"] {
            assert!(text.parse::<Phone>().unwrap_err().message().starts_with("phone: expected"), "{text}");
        }
    }

    #[test]
    fn a_number_is_shown_masked() {
        let phone: Phone = "0821234567".parse().unwrap();
        assert_eq!(format!("{phone} {phone:?}"), "+27•••••4567 +27•••••4567");
        let address = Address::Person(phone);
        assert!(!format!("{address:?} {}", address.key()).contains("82123"));
        assert_ne!(address.key(), "0829234567".parse::<Address>().unwrap().key(), "though they look alike");
    }

    #[test]
    fn a_text_is_shown_without_its_numbers() {
        let text = "500: cannot send to 27821234567@s.whatsapp.net, 2 of 10 at 12:30";
        assert_eq!(without_numbers(text), "500: cannot send to 278••••4567@s.whatsapp.net, 2 of 10 at 12:30");
        assert_eq!(without_numbers("nothing"), "nothing");
    }

    #[test]
    fn an_address_is_a_person_a_group_or_hidden() {
        let jid = |text: &str| text.parse::<Address>().map(|address| address.jid());
        assert_eq!(jid("0821234567").unwrap(), "27821234567@s.whatsapp.net");
        assert_eq!(jid("27821234567@s.whatsapp.net").unwrap(), "27821234567@s.whatsapp.net");
        assert_eq!(jid("120363401234567890@g.us").unwrap(), "120363401234567890@g.us");
        assert_eq!(jid("98765@lid").unwrap(), "98765@lid");
        assert!(jid("someone@example.com").is_err());
    }
}
