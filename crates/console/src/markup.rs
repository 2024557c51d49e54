//! Pieces of pages that templates put in as they are: every text in them is escaped here.

use std::fmt::{self, Display, Write};

use askama::{FastWritable, NO_VALUES, Values, filters::HtmlSafe};

/// Markup that is safe to put into a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Markup(String);

impl Markup {
    /// Markup as somebody here wrote it.
    pub(crate) fn trusted(html: impl Into<String>) -> Self {
        Self(html.into())
    }
}

impl HtmlSafe for Markup {}

impl Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FastWritable for Markup {
    fn write_into(&self, dest: &mut dyn Write, _: &dyn Values) -> askama::Result<()> {
        Ok(dest.write_str(&self.0)?)
    }
}

/// Adds a text to markup.
pub(crate) fn escape(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

/// A text as markup.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    escape(&mut html, text);
    html
}

/// One of the shapes of `layout.html`'s sprite.
pub(crate) fn icon(name: &str) -> Markup {
    Markup(format!(r##"<svg class="icon" aria-hidden="true"><use href="#i-{name}"></use></svg>"##))
}

/// A status: a colour, a shape and a word.
pub(crate) fn status(name: &str) -> Markup {
    let (name, shape) = (escaped(name), icon(shape(name)));
    Markup(format!(r#"<span class="status {name}">{shape}{name}</span>"#))
}

/// The shape that stands for a status.
pub(crate) fn shape(status: &str) -> &'static str {
    match status {
        "completed" | "done" | "ok" => "check",
        "failed" | "bad" => "cross",
        "running" => "play",
        "waiting" | "asked" => "clock",
        "retrying" => "again",
        "paused" => "pause",
        "cancelled" => "stop",
        "warn" => "alert",
        _ => "ring",
    }
}

/// Renders a template. One that cannot be written is a mistake of its author, and there is nothing to show instead.
pub(crate) fn render(template: &impl askama::Template) -> String {
    template.render_with_values(NO_VALUES).unwrap_or_else(|error| {
        tracing::error!(%error, "a page cannot be written");
        String::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_more_than_its_colour() {
        let html = status("failed").to_string();
        assert!(html.contains("#i-cross") && html.ends_with("failed</span>"), "{html}");
        assert_eq!(escaped(r#"<a href="x">'&"#), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }
}
