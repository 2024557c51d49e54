//! Commands: programs that the configuration names, each in a process group of its own.
//!
//! A small shell script stands between worker and program and notes the exit code in a file, so that a worker that was
//! killed and started again learns how a command ended that went on meanwhile.

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use durable::{Clock, Error, Result, after, job::Job};
use durable_local::SystemClock;
use fibreflow::work;
use jiff::Timestamp;
use serde_json::Value;
use tokio::process::Child;

use crate::{
    config, outcome,
    process::{LOOK, MARK, Process, kill_marked},
    room::Room,
    secret::Secrets,
    stop::Stopping,
};

/// The longest input that is in the environment as well, in bytes; standard input has it whatever its length.
const IN_ENVIRONMENT: usize = 32 * 1024;

/// Runs `$@` and leaves its exit code in the file `$0`. A signal to the group is the program's to answer.
const SCRIPT: &str = r#"trap : TERM INT HUP; "$@"; code=$?; echo "$code" >"$0.new" && mv "$0.new" "$0""#;

/// Variables that every command is given.
const ALWAYS: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// How a command came to its end.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself, or by its time limit.
    With(Result<Value>),
    /// By the worker, which was told to stop.
    Stopped,
}

/// A command that is to be run for a job.
pub(crate) struct Run<'a> {
    pub(crate) command: &'a config::Command,
    pub(crate) asked: &'a work::Command,
    pub(crate) job: &'a Job,
    pub(crate) room: &'a Room,
    pub(crate) stopping: Stopping,
}

/// Ends the processes of a command that nobody waits for any more.
struct Guard<'a> {
    process: Process,
    room: &'a Room,
    // Held so that its end is noticed; it is reaped when this is dropped.
    child: Option<Child>,
}

impl Guard<'_> {
    fn is_alive(&mut self) -> bool {
        if let Some(child) = &mut self.child {
            // Asking reaps it: what is left of a process is no process.
            return matches!(child.try_wait(), Ok(None));
        }
        self.process.is_alive()
    }

    /// Asks all of its processes to end, and ends them.
    async fn end(&mut self, grace: Duration) {
        let child = &mut self.child;
        // Asking reaps it: what is left of a process is no process.
        let reap = || drop(child.as_mut().map(Child::try_wait));
        self.process.wind_down(grace, reap).await;
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.process.kill();
        kill_marked(&self.room.mark());
    }
}

impl Run<'_> {
    /// Begins it, and sees it through.
    pub(crate) async fn begin(self) -> Ended {
        let secrets = match Secrets::read(&self.command.secrets) {
            Ok(secrets) => secrets,
            Err(error) => return Ended::With(Err(error)),
        };
        match self.spawn(&secrets) {
            Ok((child, process)) => {
                let guard = Guard { process, room: self.room, child: Some(child) };
                self.see_through(guard, &secrets, 0).await
            }
            // Nothing ran.
            Err(error) => Ended::With(Err(Error::no_effect(error.message()))),
        }
    }

    /// Goes on with one that an earlier worker began. `None` when it has ended and nobody knows how.
    pub(crate) async fn resume(self) -> Option<Ended> {
        let process = self.room.process();
        let is_known = self.room.status().is_some() || process.as_ref().is_some_and(Process::is_alive);
        let Some(process) = process.filter(|_| is_known) else {
            kill_marked(&self.room.mark());
            return None;
        };
        let secrets = match Secrets::read(&self.command.secrets) {
            Ok(secrets) => secrets,
            Err(error) => return Some(Ended::With(Err(error))),
        };
        let logged = fs::metadata(self.room.path("log")).map_or(0, |log| log.len());
        let guard = Guard { process, room: self.room, child: None };
        Some(self.see_through(guard, &secrets, logged).await)
    }

    fn spawn(&self, secrets: &Secrets) -> Result<(Child, Process)> {
        let input = self.asked.input.to_string();
        fs::write(self.room.path("input.json"), &input)?;
        let [input_file, output, log] = ["input.json", "output", "log"].map(|file| self.room.path(file));
        let mut command = tokio::process::Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).arg(self.room.path("status")).args(&self.command.program);
        command.current_dir(self.command.folder.as_deref().unwrap_or(Path::new(&self.room.path(""))));
        command.stdin(File::open(input_file)?).stdout(File::create(output)?).stderr(File::create(log)?);
        command.env_clear().envs(environment(&self.command.pass)).envs(secrets.iter());
        command.env(MARK, self.room.mark()).env("FIBREFLOW_TOKEN", self.job.token.to_string());
        command.env("FIBREFLOW_RESULT", self.room.path("result"));
        command.env("FIBREFLOW_KEY", self.asked.key.clone().unwrap_or_else(|| self.job.token.to_string()));
        if input.len() <= IN_ENVIRONMENT {
            command.env("FIBREFLOW_JOB", input);
        }
        let started_at = SystemClock.now();
        let child = command.process_group(0).kill_on_drop(false).spawn();
        let child = child.map_err(|error| Error::from(error).context(&self.asked.name))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let process = Process::new(pid.ok_or_else(|| Error::new("a process without a number"))?, started_at);
        self.room.keep_process(&process)?;
        Ok((child, process))
    }

    fn ends(&self, began: Timestamp) -> Timestamp {
        self.job.ends(began).min(after(began, self.command.limit))
    }

    async fn see_through(self, mut guard: Guard<'_>, secrets: &Secrets, mut logged: u64) -> Ended {
        let (ends, began) = (self.ends(guard.process.started_at), guard.process.started_at);
        let out_of_time = |now| (now >= ends).then(|| durable::until(began, ends));
        loop {
            logged = self.log(secrets, logged);
            // Looked at before the code: a program that ended in between has left one.
            let alive = guard.is_alive();
            if let Some(code) = self.room.status() {
                return Ended::With(self.read(code, secrets, &mut guard, logged));
            }
            if !alive {
                let last = self.room.last_line().map(|line| format!(": {line}")).unwrap_or_default();
                let error = Error::new(format!("the command was killed{last}"));
                return Ended::With(Err(secrets.hide_in_error(&error)));
            }
            if let Some(limit) = out_of_time(SystemClock.now()) {
                guard.end(self.command.grace).await;
                self.log(secrets, logged);
                return Ended::With(Err(Error::new(format!("the command did not end within {limit:?}"))));
            }
            if self.stopping.is_over() {
                guard.end(self.command.grace).await;
                // It may have made good use of the time.
                let ended = self.room.status().filter(|code| *code == 0);
                return match ended.map(|code| self.read(code, secrets, &mut guard, logged)) {
                    Some(Ok(result)) => Ended::With(Ok(result)),
                    _ => Ended::Stopped,
                };
            }
            SystemClock.sleep_until(after(SystemClock.now(), LOOK)).await;
        }
    }

    fn read(&self, code: i32, secrets: &Secrets, guard: &mut Guard<'_>, logged: u64) -> Result<Value> {
        // What it left running in the background is no part of the job.
        guard.process.kill();
        self.log(secrets, logged);
        let result = outcome::read(code, &self.room.answer()?, self.room.last_line().as_deref());
        let result = result.map_err(|error| secrets.hide_in_error(&error))?;
        Ok(secrets.hide_in_value(result))
    }

    /// Passes on what the command logged.
    fn log(&self, secrets: &Secrets, from: u64) -> u64 {
        let (text, to) = self.room.log_since(from);
        for line in text.lines() {
            tracing::info!(job = %self.job.token, command = self.asked.name, "{}", secrets.hide(line));
        }
        to
    }
}

#[expect(clippy::disallowed_methods, reason = "the configuration names the variables")]
fn environment(pass: &[String]) -> impl Iterator<Item = (String, String)> {
    let names = ALWAYS.into_iter().chain(pass.iter().map(String::as_str));
    names.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
}
