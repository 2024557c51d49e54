//! The `fibreflow` command: runs the workflows on one machine, sends events, sees and steers runs.

mod answer;
mod args;
mod catalogue;
mod changes;
mod demo;
mod dev;
mod environment;
mod failure;
mod home;
mod inbound;
mod link;
mod logs;
mod look;
mod place;
mod progress;
mod runs;
mod sandbox;
mod send;
mod server;
mod services;
mod steer;
mod terminal;
mod text;
mod timeline;
mod watch;
mod worker;

use std::process::ExitCode;

use args::{Command, CommandLine};
use clap::{CommandFactory, Parser};
use failure::Result;
use place::Place;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    match run(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::complain(format_args!("fibreflow: {failure}"));
            failure.exit_code()
        }
    }
}

#[tokio::main]
async fn run(line: CommandLine) -> Result<()> {
    let place = Place::new(&line);
    match line.command {
        Command::Dev(order) => dev::dev(place.home("dev")?, &order).await,
        Command::Send(order) => send::send(&place, order).await,
        Command::Runs(order) => runs::list(&place, order).await,
        Command::Show(order) => runs::show(&place, order).await,
        Command::Answer(order) => answer::answer(&place, order).await,
        Command::Worker(order) => worker::worker(&order).await,
        Command::Events(order) => look::events(&place, order).await,
        Command::Workflows(order) => look::workflows(&place, order).await,
        Command::Keys(order) => look::keys(&place, order).await,
        Command::Tail(order) => watch::tail(&place, order).await,
        Command::Health(order) => look::health(&place, order).await,
        Command::DeadLetters(order) => look::dead_letters(&place, order).await,
        Command::Audit(order) => look::audit(&place, order).await,
        Command::Cancel(order) => steer::cancel(&place, order).await,
        Command::Rerun(order) => steer::rerun(&place, order).await,
        Command::Resend(order) => steer::resend(&place, order).await,
        Command::Pause(order) => steer::pause(&place, order).await,
        Command::Resume(order) => steer::resume(&place, order).await,
        Command::Redrive(order) => steer::redrive(&place, order).await,
        Command::Discard(order) => steer::discard(&place, order).await,
        Command::Completions(order) => {
            clap_complete::generate(
                order.shell,
                &mut CommandLine::command(),
                "fibreflow",
                &mut std::io::stdout(),
            );
            Ok(())
        }
        Command::Sandbox(order) => sandbox::sandbox(place.home("sandbox")?, order).await,
        Command::ConsoleLink(order) => link::make(&order),
    }
}
