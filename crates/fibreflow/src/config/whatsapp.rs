//! WhatsApp's settings.

use std::sync::Arc;

use durable::{Error, Result};
use url::Url;

use super::Settings;
use crate::{
    http::Endpoint,
    whatsapp::{Dialect, FileSwitch, HttpSwitch, NoSwitch, Rules, Switch, WhatsApp, limits, span},
};

impl Settings<'_> {
    /// `WHATSAPP_URL`, `WHATSAPP_SECRET`, and for the older service `WHATSAPP_GROUP_JID`.
    pub fn whatsapp(&mut self) -> Option<WhatsApp> {
        let endpoint = self.endpoint("WHATSAPP_URL");
        let secret = self.secret_of(endpoint.as_ref(), "WHATSAPP_SECRET");
        let dialect = match self.optional("WHATSAPP_GROUP_JID") {
            Some(group_jid) => Dialect::Sender { group_jid },
            None => Dialect::Bridge,
        };
        let endpoint = self.secret(endpoint?, "x-bridge-secret", &secret?)?;
        Some(WhatsApp::new(endpoint, dialect))
    }

    /// `WHATSAPP_ACCOUNT` (a name, for keys), `WHATSAPP_PHONE_LIMITS` (`10/1m`), `WHATSAPP_ACCOUNT_LIMITS`
    /// (`2/1m, 20/1h, 100/1d`), `WHATSAPP_COOLDOWN` (`1h`), `WHATSAPP_QUIET_HOURS` (`20:00-06:00`, South African time) and
    /// `WHATSAPP_TIME_TO_LIVE` (`24h`). In brackets is what holds without the setting; `off` switches a rule off.
    pub fn whatsapp_rules(&mut self) -> Option<Rules> {
        let usual = Rules::default();
        let account = self.optional("WHATSAPP_ACCOUNT").unwrap_or(usual.account);
        let phone = self.rule("WHATSAPP_PHONE_LIMITS", Some(usual.phone_limits), limits);
        let all = self.rule("WHATSAPP_ACCOUNT_LIMITS", Some(usual.account_limits), limits);
        let cooldown = self.rule("WHATSAPP_COOLDOWN", usual.cooldown, span);
        let quiet = self.rule("WHATSAPP_QUIET_HOURS", usual.quiet_hours, str::parse);
        let time_to_live = self.rule("WHATSAPP_TIME_TO_LIVE", usual.time_to_live, span);
        Some(Rules {
            account,
            phone_limits: phone?.unwrap_or_default(),
            account_limits: all?.unwrap_or_default(),
            cooldown: cooldown?,
            quiet_hours: quiet?,
            time_to_live: time_to_live?,
        })
    }

    /// The same settings with another switch than `WHATSAPP_SWITCH` names.
    #[must_use]
    pub fn with_switch(mut self, switch: Arc<dyn Switch>) -> Self {
        self.switch = Some(switch);
        self
    }

    /// `WHATSAPP_SWITCH`: a file, or an address of `http` or `https`, that says `on`, or why not; without it, on.
    pub fn whatsapp_switch(&mut self) -> Option<Arc<dyn Switch>> {
        if let Some(switch) = &self.switch {
            return Some(switch.clone());
        }
        let Some(place) = self.optional("WHATSAPP_SWITCH") else { return Some(Arc::new(NoSwitch)) };
        match place.parse::<Url>() {
            Ok(url) if ["http", "https"].contains(&url.scheme()) => {
                let endpoint = Endpoint::new(self.http.clone(), url).timeout(durable::seconds(5));
                Some(Arc::new(HttpSwitch(endpoint)))
            }
            _ => Some(Arc::new(FileSwitch(place.into()))),
        }
    }

    /// A rule as it is set, as it usually is, or off.
    #[expect(
        clippy::option_option,
        reason = "outside: whether the setting can be read; inside: whether the rule is on"
    )]
    fn rule<T>(
        &mut self,
        name: &str,
        usual: Option<T>,
        read: impl Fn(&str) -> Result<T>,
    ) -> Option<Option<T>> {
        let set = match self.optional(name).as_deref().map(str::trim) {
            None => Ok(usual),
            Some("off") => Ok(None),
            Some(text) => {
                read(text).map(Some).map_err(|error| Error::fatal(format!("{name}: {}", error.message())))
            }
        };
        self.good(set)
    }
}

#[cfg(test)]
mod tests {
    use durable::seconds;

    use super::*;
    use crate::http::Http;

    fn rules(set: &[(&str, &str)]) -> Result<Rules> {
        let lookup =
            |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        Settings::new(lookup, Http::network().unwrap()).make(Settings::whatsapp_rules)
    }

    #[test]
    fn a_rule_is_the_usual_one_another_one_or_off() {
        assert_eq!(rules(&[]).unwrap(), Rules::default());
        let set = rules(&[
            ("WHATSAPP_ACCOUNT_LIMITS", "off"),
            ("WHATSAPP_QUIET_HOURS", "off"),
            ("WHATSAPP_COOLDOWN", "90s"),
        ]);
        let set = set.unwrap();
        assert_eq!((set.account_limits, set.quiet_hours, set.cooldown), (vec![], None, Some(seconds(90))));
    }

    #[test]
    fn all_rules_that_are_wrong_are_named_at_once() {
        let wrong = rules(&[("WHATSAPP_QUIET_HOURS", "night"), ("WHATSAPP_TIME_TO_LIVE", "1 week")]);
        let text = wrong.unwrap_err().message().to_owned();
        assert!(
            text.contains("WHATSAPP_QUIET_HOURS: expected")
                && text.contains("WHATSAPP_TIME_TO_LIVE: expected")
        );
    }
}
