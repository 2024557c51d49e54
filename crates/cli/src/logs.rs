//! Logs on standard error, above the progress display if there is one.

use std::io::{self, Write, stderr};

use indicatif::MultiProgress;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::{environment, terminal::complain};

/// Logs what `RUST_LOG` asks for; this level and worse when it does not say.
pub(crate) fn start(display: Option<MultiProgress>, usual: &str) {
    let wanted = environment::setting("RUST_LOG").unwrap_or_else(|| usual.to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|error| {
        complain(format_args!("RUST_LOG={wanted} is not understood ({error}): warnings are logged"));
        EnvFilter::new("warn")
    });
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Above(display)).with_ansi(false);
    // Another subscriber is there already: then that one serves.
    let _ = logs.try_init();
}

/// Writes lines above the progress display.
#[derive(Debug, Clone)]
struct Above(Option<MultiProgress>);

impl<'a> MakeWriter<'a> for Above {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Some(display) => display.suspend(|| stderr().write(bytes)),
            None => stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}
