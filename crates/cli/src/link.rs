//! `fibreflow console-link`: a link that signs somebody in to the console on AWS.

use console::{Role, Seal, sign_in_link};
use durable::{Clock, minutes};
use durable_local::SystemClock;
use url::Url;

use crate::{
    args,
    failure::{Failure, Result},
    terminal::say,
};

pub(crate) fn make(link: &args::ConsoleLink) -> Result<()> {
    let url = Url::parse(&link.url).ok().filter(|url| url.scheme() == "https" && url.path() == "/");
    let url = url.ok_or_else(|| Failure::usage(format!("{}: expected https://NAME", link.url)))?;
    let seal = Seal::new(link.session_key.as_bytes())?;
    let role = if link.role == "operator" { Role::Operator } else { Role::Viewer };
    let good_for = minutes(link.minutes.into());
    say(sign_in_link(&seal, url.as_str(), &link.name, role, SystemClock.now(), good_for));
    Ok(())
}
