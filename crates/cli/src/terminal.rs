//! What people see: lines, colours, tables.

use std::{
    fmt::Display,
    io::{IsTerminal, Write, stderr, stdout},
};

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use durable::Status;
use owo_colors::{AnsiColors, OwoColorize};

use crate::environment;

/// Prints a line. A reader that has gone away (`fibreflow runs | head`) is no failure.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(stdout(), "{line}");
}

/// Prints a line on standard error.
pub(crate) fn complain(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}

/// Whether lines on standard output may have colours.
pub(crate) fn has_colours() -> bool {
    stdout().is_terminal() && environment::setting("NO_COLOR").is_none()
}

/// What is shown again and again: in place on a terminal, else each time it has changed.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    shown: Option<String>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Whether what is shown can be replaced.
    pub(crate) fn is_live() -> bool {
        stdout().is_terminal()
    }

    /// Shows a text in the place of the one before.
    pub(crate) fn show(&mut self, text: &str) {
        if self.shown.as_deref() == Some(text) {
            return;
        }
        if Self::is_live() {
            // Clears the screen and what was scrolled out of it, and begins at its top: a list longer than the screen
            // cannot be overwritten line by line.
            let _ = write!(stdout(), "\x1b[2J\x1b[3J\x1b[H");
        }
        say(text);
        let _ = stdout().flush();
        self.shown = Some(text.to_owned());
    }
}

/// A status in its colour.
pub(crate) fn paint(status: Status) -> String {
    coloured(status, colour(status))
}

/// What is of less interest.
pub(crate) fn faint(text: impl Display) -> String {
    coloured(text, AnsiColors::BrightBlack)
}

/// What must not be missed.
pub(crate) fn alarming(text: impl Display) -> String {
    coloured(text, AnsiColors::Red)
}

fn coloured(text: impl Display, colour: AnsiColors) -> String {
    if has_colours() { text.color(colour).to_string() } else { text.to_string() }
}

fn colour(status: Status) -> AnsiColors {
    match status {
        Status::Queued => AnsiColors::BrightBlack,
        Status::Running => AnsiColors::Cyan,
        Status::Waiting => AnsiColors::Yellow,
        Status::Completed => AnsiColors::Green,
        Status::Failed => AnsiColors::Red,
        Status::Cancelled => AnsiColors::Magenta,
    }
}

/// A table with these headings. It has no lines, so that what is copied from it is what it says.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headings);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// A table as it is printed.
pub(crate) fn rows(table: &Table) -> String {
    table.trim_fmt()
}

/// A table's cell with a status in its colour.
pub(crate) fn status_cell(status: Status) -> Cell {
    let cell = Cell::new(status);
    if !has_colours() {
        return cell;
    }
    cell.fg(match status {
        Status::Queued => Color::DarkGrey,
        Status::Running => Color::Cyan,
        Status::Waiting => Color::Yellow,
        Status::Completed => Color::Green,
        Status::Failed => Color::Red,
        Status::Cancelled => Color::Magenta,
    })
}
