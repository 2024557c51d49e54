//! What the model writes, and what it says.

use durable::{Error, Result};
use serde::Deserialize;

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
    content: String,
}

/// The model's judgement of one step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Judgement {
    pub(super) name: String,
    pub(super) score: f64,
    #[serde(default)]
    pub(super) comment: String,
}

#[derive(Deserialize)]
struct Judgements {
    steps: Vec<Judgement>,
}

impl Completion {
    /// The judgements, one for each step, or why they cannot be used.
    pub(super) fn judgements(&self) -> Result<Vec<Judgement>> {
        let choice = self.choices.first().ok_or_else(|| Error::new("the model gave no answer"))?;
        if choice.finish_reason.as_deref() == Some("length") {
            return Err(Error::new("the model's answer was cut off"));
        }
        parse(&choice.message.content)
    }
}

fn parse(text: &str) -> Result<Vec<Judgement>> {
    let wrong = |what: String| Error::new(format!("the model's answer cannot be used: {what}"));
    let answer: Judgements = serde_json::from_str(json_of(text)).map_err(|error| wrong(error.to_string()))?;
    for step in super::STEPS {
        let count = answer.steps.iter().filter(|judged| judged.name == step.name).count();
        if count != 1 {
            return Err(wrong(format!("step {} is judged {count} times", step.name)));
        }
    }
    match answer.steps.iter().find(|judged| !super::STEPS.iter().any(|step| step.name == judged.name)) {
        Some(stranger) => Err(wrong(format!("there is no step {}", stranger.name))),
        None => match answer.steps.iter().find(|judged| !(0.0..=10.0).contains(&judged.score)) {
            Some(judged) => Err(wrong(format!("step {} has score {}", judged.name, judged.score))),
            None => Ok(answer.steps),
        },
    }
}

/// The JSON in an answer, without the model's thoughts before it and the fence around it.
fn json_of(text: &str) -> &str {
    let spoken = text.rsplit_once("</think>").map_or(text, |(_, spoken)| spoken).trim();
    let unfenced = spoken.strip_prefix("```json").or_else(|| spoken.strip_prefix("```")).unwrap_or(spoken);
    unfenced.trim().trim_end_matches("```").trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> String {
        let steps: Vec<_> =
            crate::vlm::STEPS.iter().map(|step| format!(r#"{{"name":"{}","score":8}}"#, step.name)).collect();
        format!(r#"{{"steps":[{}]}}"#, steps.join(","))
    }

    #[test]
    fn thoughts_and_fences_are_left_out() {
        let plain = parse(&answer()).unwrap();
        assert_eq!(plain.len(), 10);
        for wrapped in [format!("<think>{{\n}}</think>\n{}", answer()), format!("```json\n{}\n```", answer())]
        {
            assert_eq!(parse(&wrapped).unwrap(), plain);
        }
    }

    #[test]
    fn an_answer_that_is_not_whole_is_none() {
        let cut = answer()[..200].to_owned();
        let foreign = answer().replace("power_meter", "garden");
        let huge = answer().replacen('8', "80", 1);
        for text in ["", "I cannot see the photo.", r#"{"steps":[]}"#, &cut, &foreign, &huge] {
            let error = parse(text).unwrap_err();
            assert!(
                error.is_retryable() && error.message().starts_with("the model's answer cannot be used"),
                "{error}"
            );
        }
    }
}
