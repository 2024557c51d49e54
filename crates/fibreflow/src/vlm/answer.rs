//! What the model writes, and what it says.

use std::fmt;

use durable::{Error, Result};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};

use super::{Criteria, criteria::HIGHEST};

/// The server's answer.
#[derive(Debug, Deserialize)]
pub(super) struct Completion {
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

/// The judgement of one step by one call, or the best of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The step.
    pub name: String,
    /// 0 to 10.
    pub score: f64,
    /// Why, in the model's words.
    pub comment: String,
}

/// A comment longer than this, in characters, says nothing more that a contractor reads.
const LONGEST_COMMENT: usize = 300;

impl Completion {
    /// Whether the answer ended because it grew too long.
    pub(super) fn is_cut_off(&self) -> bool {
        self.choices.first().is_some_and(|choice| choice.finish_reason.as_deref() == Some("length"))
    }

    /// The judgements, one for each step in the steps' order, or why they cannot be used.
    pub(super) fn judgements(&self, criteria: &Criteria) -> Result<Vec<Judgement>> {
        if self.is_cut_off() {
            return Err(Error::new("the model's answer was cut off"));
        }
        let message = &self.choices.first().ok_or_else(|| Error::new("the model gave no answer"))?.message;
        if let Some(refusal) = message.refusal.as_deref().filter(|refusal| !refusal.is_empty()) {
            return Err(Error::new(format!("the model refused: {}", plain(refusal))));
        }
        let text = message.content.as_deref().ok_or_else(|| Error::new("the model gave no answer"))?;
        parse(text, criteria)
    }
}

fn parse(text: &str, criteria: &Criteria) -> Result<Vec<Judgement>> {
    let wrong = |what: String| Error::new(format!("the model's answer cannot be used: {what}"));
    let Fields(fields) = serde_json::from_str(json_of(text)).map_err(|error| wrong(error.to_string()))?;
    let is_step = |name: &str| criteria.steps().iter().any(|step| step.name == name);
    if let Some((stranger, _)) = fields.iter().find(|(name, _)| !is_step(name)) {
        return Err(wrong(format!("there is no step {}", plain(stranger))));
    }
    let mut judgements = Vec::new();
    for step in criteria.steps() {
        let judged: Vec<_> = fields.iter().filter(|(name, _)| *name == step.name).collect();
        let [(name, Judged { score, comment })] = judged[..] else {
            return Err(wrong(format!("step {} is judged {} times", step.name, judged.len())));
        };
        if !(0.0..=HIGHEST).contains(score) {
            return Err(wrong(format!("step {name} has score {score}")));
        }
        judgements.push(Judgement { name: name.clone(), score: *score, comment: plain(comment) });
    }
    Ok(judgements)
}

/// The fields of an object in the order they are written, one that is repeated as often as it is: a map would keep the last.
struct Fields(Vec<(String, Judged)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Judged {
    score: f64,
    #[serde(default)]
    comment: String,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a field a step")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        from.deserialize_map(InOrder)
    }
}

/// The JSON in an answer, without the model's thoughts before it and the fence around it.
fn json_of(text: &str) -> &str {
    let spoken = text.rsplit_once("</think>").map_or(text, |(_, spoken)| spoken).trim();
    let unfenced = spoken.strip_prefix("```json").or_else(|| spoken.strip_prefix("```")).unwrap_or(spoken);
    unfenced.trim().trim_end_matches("```").trim()
}

/// A model's words on one line, without what a database or a chat cannot take.
fn plain(text: &str) -> String {
    let words: Vec<_> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    words.join(" ").trim().chars().take(LONGEST_COMMENT).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer() -> String {
        let steps: Vec<_> = Criteria::default()
            .steps()
            .iter()
            .map(|step| format!(r#""{}":{{"score":8,"comment":"clear"}}"#, step.name))
            .collect();
        format!("{{{}}}", steps.join(","))
    }

    fn parsed(text: &str) -> Result<Vec<Judgement>> {
        parse(text, &Criteria::default())
    }

    #[test]
    fn thoughts_and_fences_are_left_out() {
        let plain = parsed(&answer()).unwrap();
        assert_eq!(plain.len(), 10);
        for wrapped in [
            format!("<think>{{\n}}</think>\n{}", answer()),
            format!("```json\n{}\n```", answer()),
            format!("<think>```json\n{{}}\n```</think>\n\n```\n{}\n```\n", answer()),
        ] {
            assert_eq!(parsed(&wrapped).unwrap(), plain);
        }
    }

    #[test]
    fn an_answer_that_is_not_whole_is_none() {
        let cut = answer()[..200].to_owned();
        let foreign = answer().replace("power_meter", "garden");
        let twice = answer().replace("power_meter", "ups_serial");
        let one_more = answer().replacen('{', r#"{"garden":{"score":1},"#, 1);
        let huge = answer().replacen('8', "80", 1);
        let negative = answer().replacen('8', "-1", 1);
        let word = answer().replacen('8', r#""good""#, 1);
        let chatty = format!("{} I hope this helps.", answer());
        let thinking = "<think>The house is visible";
        for text in [
            "",
            "I cannot see the photo.",
            "{}",
            "[]",
            "null",
            thinking,
            &cut,
            &foreign,
            &twice,
            &one_more,
            &huge,
            &negative,
            &word,
            &chatty,
        ] {
            let error = parsed(text).unwrap_err();
            assert!(
                error.is_retryable() && error.message().starts_with("the model's answer cannot be used"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_refusal_is_no_judgement() {
        let completion = |message: &str, reason: &str| -> Completion {
            let text = format!(r#"{{"choices":[{{"message":{message},"finish_reason":"{reason}"}}]}}"#);
            serde_json::from_str(&text).unwrap()
        };
        for (message, reason, says) in [
            (r#"{"content":null,"refusal":"I can't help with that."}"#, "stop", "the model refused: I can't"),
            (r#"{"content":null}"#, "content_filter", "the model gave no answer"),
            (r#"{"content":"{\"house_photo\":"}"#, "length", "the model's answer was cut off"),
        ] {
            let error = completion(message, reason).judgements(&Criteria::default()).unwrap_err();
            assert!(error.is_retryable() && error.message().starts_with(says), "{error}");
        }
        let empty: Completion = serde_json::from_str(r#"{"choices":[]}"#).unwrap();
        assert!(empty.judgements(&Criteria::default()).is_err());
    }

    #[test]
    fn a_comment_is_a_line_that_any_database_takes() {
        let text = answer().replacen("clear", r"the\u0000 label\n\tis  |  torn", 1);
        assert_eq!(parsed(&text).unwrap()[0].comment, "the  label  is  |  torn");
        let text = answer().replacen("clear", &"é".repeat(1_000), 1);
        assert_eq!(parsed(&text).unwrap()[0].comment.chars().count(), LONGEST_COMMENT);
    }

    proptest! {
        #[test]
        fn no_beginning_of_an_answer_is_one(part in 0.0..1.0_f64) {
            let answer = answer();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a length")]
            let length = (answer.len() as f64 * part) as usize;
            prop_assert!(parsed(&answer[..length]).is_err());
        }
    }
}
