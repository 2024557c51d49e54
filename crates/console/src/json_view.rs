//! JSON as a tree that is folded and unfolded, within limits: a page stays small whatever a step returned.

use std::fmt::Write;

use serde_json::Value;

use crate::markup::{Markup, escape};

/// How much of a value is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many values and fields in all.
    nodes: usize,
    /// How many items of one list or object.
    items: usize,
    /// How many characters of one string.
    characters: usize,
    /// How deep.
    depth: usize,
}

impl Limits {
    /// What stands on a page among other things.
    pub(crate) const PANEL: Self = Self { nodes: 600, items: 100, characters: 2_000, depth: 12 };
}

/// Below this many items an object or list starts unfolded.
const UNFOLDED: usize = 12;

/// The value as HTML: nested `details`, every text escaped. What was left out is said.
pub(crate) fn tree(value: &Value, limits: Limits) -> Markup {
    let mut tree = Tree { html: String::new(), limits, left: limits.nodes };
    tree.html.push_str("<div class=\"json\" tabindex=\"0\">");
    tree.value(value, None, 0);
    tree.html.push_str("</div>");
    Markup::trusted(tree.html)
}

struct Tree {
    html: String,
    limits: Limits,
    left: usize,
}

impl Tree {
    fn value(&mut self, value: &Value, label: Option<&str>, depth: usize) {
        self.left = self.left.saturating_sub(1);
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                let items = fields.iter().map(|(name, value)| (Some(name.as_str()), value));
                self.nested(["{", "}"], ["field", "fields"], label, items, depth);
            }
            Value::Array(items) if !items.is_empty() => {
                let items = items.iter().map(|item| (None, item));
                self.nested(["[", "]"], ["item", "items"], label, items, depth);
            }
            leaf => {
                self.html.push_str("<div class=\"leaf\">");
                self.label(label);
                self.leaf(leaf);
                self.html.push_str("</div>");
            }
        }
    }

    fn nested<'a>(
        &mut self,
        brackets: [&str; 2],
        what: [&str; 2],
        label: Option<&str>,
        items: impl ExactSizeIterator<Item = (Option<&'a str>, &'a Value)>,
        depth: usize,
    ) {
        let count = items.len();
        let open = if depth == 0 || count <= UNFOLDED && depth < 3 { " open" } else { "" };
        let _ = write!(self.html, "<details{open}><summary>");
        self.label(label);
        let name = if count == 1 { what[0] } else { what[1] };
        let _ = write!(
            self.html,
            "<span class=\"bracket\">{}</span><span class=\"fold\">{count} {name}</span></summary><div class=\"inner\">",
            brackets[0]
        );
        let mut shown = 0;
        if depth < self.limits.depth {
            for (name, value) in items.take(self.limits.items) {
                if self.left == 0 {
                    break;
                }
                self.value(value, name, depth + 1);
                shown += 1;
            }
        }
        if shown < count {
            let _ = write!(self.html, "<div class=\"more\">… {} more not shown</div>", count - shown);
        }
        let _ = write!(self.html, "</div><span class=\"bracket\">{}</span></details>", brackets[1]);
    }

    fn label(&mut self, label: Option<&str>) {
        if let Some(label) = label {
            self.html.push_str("<span class=\"key\">");
            escape(&mut self.html, label);
            self.html.push_str("</span>: ");
        }
    }

    fn leaf(&mut self, leaf: &Value) {
        let class = match leaf {
            Value::String(_) => "string",
            Value::Number(_) => "number",
            _ => "literal",
        };
        let _ = write!(self.html, "<span class=\"{class}\">");
        let text = leaf.to_string();
        let most = self.limits.characters;
        let end = text.char_indices().nth(most).map_or(text.len(), |(end, _)| end);
        let (shown, rest) = text.split_at(end);
        escape(&mut self.html, shown);
        self.html.push_str("</span>");
        if !rest.is_empty() {
            let more = rest.chars().count();
            let _ = write!(self.html, "<span class=\"more\">… {more} more characters not shown</span>");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn html(value: &Value, limits: Limits) -> String {
        tree(value, limits).to_string()
    }

    #[test]
    fn nothing_of_a_value_becomes_markup() {
        let html = html(&json!({"<script>": "</span><img src=x onerror='a'>&\""}), Limits::PANEL);
        assert!(
            html.contains("&lt;script&gt;") && html.contains("&lt;img src=x onerror=&#39;a&#39;&gt;&amp;")
        );
        assert!(!html.contains("<img") && !html.contains("<script"));
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let limits = Limits { nodes: 600, items: 3, characters: 5, depth: 2 };
        assert!(html(&json!([1, 2, 3, 4, 5]), limits).contains("… 2 more not shown"));
        assert!(html(&json!("123456789"), limits).contains("… 6 more characters not shown"));
        assert!(html(&json!([[[1]]]), limits).contains("… 1 more not shown"), "too deep");
    }

    #[test]
    fn a_page_stays_small_whatever_there_is() {
        let wide: Vec<_> = (0..100).map(|n| json!({"rows": vec![n; 100]})).collect();
        assert!(html(&json!(wide), Limits::PANEL).len() < 100_000);
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        assert!(html(&deep, Limits::PANEL).len() < 10_000);
    }

    #[test]
    fn empty_things_are_shown_as_what_they_are() {
        for (value, text) in
            [(json!({}), "{}"), (json!([]), "[]"), (json!(null), "null"), (json!(true), "true")]
        {
            assert!(html(&value, Limits::PANEL).contains(text), "{text}");
        }
    }
}
