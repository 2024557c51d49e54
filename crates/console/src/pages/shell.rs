//! What every page has around its content.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    access::Identity,
    assets,
    console::Console,
    json_view::{self, Limits},
    markup::{self, Markup},
    text,
};

/// A value as a template hands it over: itself, or by as many references as it went through.
pub(super) trait Shown<T> {
    fn value(self) -> T;
}

impl<T: Copy> Shown<T> for T {
    fn value(self) -> T {
        self
    }
}

impl<T: Copy> Shown<T> for &T {
    fn value(self) -> T {
        *self
    }
}

impl<T: Copy> Shown<T> for &&T {
    fn value(self) -> T {
        **self
    }
}

/// What every page has around its content, and how it shows times, numbers and values.
#[derive(Debug)]
pub(super) struct Shell {
    /// The page's place in the menu.
    pub(super) active: &'static str,
    pub(super) title: String,
    pub(super) place: String,
    pub(super) who: Option<Identity>,
    pub(super) token: String,
    pub(super) signs_out: bool,
    pub(super) notice: Option<&'static str>,
    now: Timestamp,
    /// Makes a form that is sent twice one wish.
    pub(super) request: String,
}

impl Shell {
    pub(super) fn new(
        console: &Console,
        who: Option<Identity>,
        active: &'static str,
        title: impl Into<String>,
    ) -> Self {
        let token = who.as_ref().map(|who| console.access().form_token(who)).unwrap_or_default();
        Self {
            active,
            title: title.into(),
            place: console.place_name().to_owned(),
            signs_out: who.is_some() && console.access().has_sessions(),
            who,
            token,
            notice: None,
            now: console.now(),
            request: console.fresh(),
        }
    }

    /// Says what was done, when the address says so.
    pub(super) fn noticing(mut self, name: Option<&str>) -> Self {
        // Only what is known here: nobody can put words into a page with a link.
        self.notice = name.and_then(|name| {
            Some(match name {
                "cancelled" => "The run is cancelled.",
                "rerun" => "This run was started again from the other one.",
                "answered" => "The answer is recorded: the run goes on.",
                "sent" => "The event was sent.",
                "resent" => "The event was sent again, as an event of its own.",
                "redriven" => "The dead letter got another chance.",
                "redriven-all" => "The dead letters got another chance.",
                "discarded" => "The dead letter was dropped.",
                "paused" => "The workflow is paused: it starts no runs.",
                "resumed" => "The workflow starts runs again.",
                _ => return None,
            })
        });
        self
    }

    pub(super) fn is_operator(&self) -> bool {
        self.who.as_ref().is_some_and(Identity::is_operator)
    }

    /// A time: as long ago, exact when asked for.
    pub(super) fn time(&self, at: impl Shown<Timestamp>) -> Markup {
        let at = at.value();
        let (when, utc) = (text::when(at, self.now), text::utc(at));
        Markup::trusted(format!(r#"<time datetime="{at}" title="{utc}">{when}</time>"#))
    }

    /// A time, exact.
    pub(super) fn exact(&self, at: impl Shown<Timestamp>) -> Markup {
        let at = at.value();
        let (when, utc) = (text::when(at, self.now), text::utc(at));
        Markup::trusted(format!(r#"<time datetime="{at}" title="{when}">{utc}</time>"#))
    }

    /// What somebody says who agrees to something, or does not.
    pub(super) fn approval(&self, approved: impl Shown<bool>) -> Value {
        let by = self.who.as_ref().map_or("", |who| who.name.as_str());
        serde_json::json!({"approved": approved.value(), "by": by})
    }

    /// How long something has taken so far.
    pub(super) fn since(&self, at: impl Shown<Timestamp>) -> String {
        text::duration(durable::until(at.value(), self.now))
    }
}

#[expect(clippy::unused_self, reason = "a template calls methods of what it is given")]
impl Shell {
    pub(super) fn style(&self) -> &'static str {
        &assets::STYLE.name
    }

    pub(super) fn script(&self) -> &'static str {
        &assets::SCRIPT.name
    }

    pub(super) fn favicon(&self) -> &'static str {
        &assets::ICON.name
    }

    pub(super) fn icon(&self, name: &str) -> Markup {
        markup::icon(name)
    }

    pub(super) fn status(&self, name: &str) -> Markup {
        markup::status(name)
    }

    /// The shape of a status, without the word beside it.
    pub(super) fn shape(&self, status: &str) -> Markup {
        markup::icon(markup::shape(status))
    }

    pub(super) fn took(&self, milliseconds: impl Shown<u64>) -> String {
        text::duration(Duration::from_millis(milliseconds.value()))
    }

    pub(super) fn count(&self, count: impl Shown<u64>) -> String {
        text::count(count.value())
    }

    pub(super) fn bytes(&self, bytes: impl Shown<usize>) -> String {
        text::bytes(bytes.value())
    }

    pub(super) fn json(&self, value: &Value) -> Markup {
        json_view::tree(value, Limits::PANEL)
    }

    /// A value as somebody edits it.
    pub(super) fn pretty(&self, value: &Value) -> String {
        serde_json::to_string_pretty(value).unwrap_or_default()
    }

    /// A text as a part of an address.
    pub(super) fn part(&self, text: &str) -> String {
        // What `urlencode` of the template crate leaves alone, `/` and `#` among them, would end the part.
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
    }
}
