//! The `fibreflow` command: runs the workflows on one machine, sends events, shows runs.

mod args;
mod catalogue;
mod demo;
mod dev;
mod environment;
mod failure;
mod guard;
mod home;
mod inbound;
mod logs;
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
use home::Home;

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
    let home = Home::new(line.home);
    match line.command {
        Command::Dev(order) => dev::dev(&home, &order).await,
        Command::Send(order) => send::send(&home, order).await,
        Command::Runs(order) => runs::list(&home, order).await,
        Command::Show(order) => runs::show(&home, order).await,
        Command::Cancel(order) => runs::cancel(&home, order).await,
        Command::Sandbox(order) => sandbox::sandbox(&home, order).await,
    }
}
