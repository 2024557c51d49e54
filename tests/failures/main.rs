//! Whatever the documentation says of failures is held by tests that exist.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{fs, path::Path};

use system_tests::file;

/// The sources below a folder, one after the other.
fn sources(folder: &Path, extension: &str, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "node_modules") {
            sources(&path, extension, into);
        } else if path.extension().is_some_and(|found| found == extension) {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// The tests there are.
struct Tests {
    rust: String,
    typescript: String,
}

impl Tests {
    fn read() -> Self {
        let mut tests = Self { rust: String::new(), typescript: String::new() };
        for folder in ["crates", "functions", "tests"] {
            sources(&file(folder), "rs", &mut tests.rust);
        }
        sources(&file("infra/convex/tests"), "ts", &mut tests.typescript);
        tests
    }

    /// Whether there is a test of this name: a function that is marked as one, or words that `test` is called with.
    fn has(&self, name: &str) -> bool {
        if name.contains(' ') {
            return self.typescript.contains(&format!("test(\"{name}\""));
        }
        self.rust.match_indices(&format!("fn {name}(")).any(|(at, _)| {
            let above: Vec<_> = self.rust[..at].lines().rev().take(4).collect();
            above.iter().any(|line| line.trim() == "#[test]" || line.trim().starts_with("#[tokio::test"))
        })
    }
}

/// The rows of the tables whose last column names tests, each with what that column names.
fn rows(page: &str) -> Vec<(&str, Vec<&str>)> {
    let mut rows = Vec::new();
    let mut names_tests = false;
    for line in page.lines() {
        let is_row = line.starts_with('|');
        if line.ends_with("| Shown by |") {
            names_tests = true;
        } else if is_row && names_tests && !line.starts_with("| ---") {
            let last = line.trim_end_matches('|').rsplit(" | ").next().unwrap();
            rows.push((line, last.split('`').skip(1).step_by(2).collect()));
        }
        names_tests &= is_row;
    }
    rows
}

#[test]
fn every_row_of_the_failures_names_tests_that_exist() {
    let tests = Tests::read();
    let mut counts = Vec::new();
    for page in fs::read_dir(file("docs/failures")).unwrap() {
        let page = page.unwrap().path();
        let text = fs::read_to_string(&page).unwrap();
        let rows = rows(&text);
        for (row, names) in &rows {
            assert!(!names.is_empty(), "{}: no test: {row}", page.display());
            for name in names {
                assert!(tests.has(name), "{}: there is no test {name}", page.display());
            }
        }
        counts.push((page.file_name().unwrap().to_owned(), rows.len()));
    }
    assert!(counts.len() >= 7 && counts.iter().all(|(_, rows)| *rows >= 8), "{counts:?}");
}

/// The check itself can fail.
#[test]
fn a_test_that_is_not_there_is_missed() {
    let tests = Tests::read();
    assert!(tests.has("a_test_that_is_not_there_is_missed"));
    assert!(!tests.has("a_test_that_nobody_wrote") && !tests.has("sources") && !tests.has("no such test"));
    let page = "| a | Shown by |\n| --- | --- |\n| x | `y`, `z z` |\n| u | none |\n\n| b | c |\n| --- | --- |\n| 1 | `2` |\n";
    assert_eq!(rows(page), [("| x | `y`, `z z` |", vec!["y", "z z"]), ("| u | none |", vec![])]);
}
