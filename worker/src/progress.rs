//! Progress bars: on a terminal, and nowhere else.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bars of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: MultiProgress,
    shown: bool,
}

impl Progress {
    /// Bars if stderr is a terminal.
    pub fn detect() -> Self {
        let shown = std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), shown }
    }

    /// No bars.
    pub fn hidden() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), shown: false }
    }

    /// A log line above the bars.
    pub fn print_above(&self, line: &str) {
        let line = line.trim_end_matches('\n');
        if !self.shown || self.bars.println(line).is_err() {
            let mut stderr = std::io::stderr().lock();
            // If stderr is closed there is nobody left to tell.
            writeln!(stderr, "{line}").ok();
        }
    }

    /// A bar for `what`, of which `total` are to be done.
    pub fn bar(&self, what: &str, total: u64) -> Bar {
        let bar = ProgressBar::new(total).with_message(what.to_owned());
        if let Ok(style) =
            ProgressStyle::with_template("{msg:30!} {wide_bar} {human_pos}/{human_len} {per_sec} {eta} left")
        {
            bar.set_style(style);
        }
        let bar = self.bars.add(bar);
        if self.shown {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Bar(bar)
    }
}

/// One bar; goes away when dropped.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// So many more are done.
    pub fn add(&self, done: u64) {
        self.0.inc(done);
    }

    /// The total has become known.
    pub fn set_total(&self, total: u64) {
        self.0.set_length(total);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
