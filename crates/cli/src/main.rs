//! The `fibreflow` command: runs the workflows on one machine, sends events, shows runs.

mod args;
mod catalogue;
mod demo;
mod dev;
mod environment;
mod failure;
mod home;
mod inbound;
mod link;
mod logs;
mod place;
mod progress;
mod runs;
mod sandbox;
mod send;
mod server;
mod services;
mod terminal;
mod text;

use std::process::ExitCode;

use args::{Command, CommandLine};
use clap::Parser;
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
        Command::Cancel(order) => runs::cancel(&place, order).await,
        Command::Sandbox(order) => sandbox::sandbox(place.home("sandbox")?, order).await,
        Command::ConsoleLink(order) => link::make(&order),
    }
}
