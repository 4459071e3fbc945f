//! Signals. The first SIGINT or SIGTERM asks the work to drain; a second one, or the end of the grace period, aborts it.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A request to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: the kubelet, `kill`.
    Terminate,
}

impl Signal {
    /// What a shell expects of a process that such a signal ended: 128 + its number.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }

    /// `SIGINT`, `SIGTERM`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

/// The work was dropped before it had drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("aborted by {} before the work had drained; what was stored stays, the next run goes on from there", signal.as_str())]
pub struct Aborted {
    /// The signal that asked for the end first.
    pub signal: Signal,
}

impl From<Aborted> for ExitCode {
    fn from(aborted: Aborted) -> Self {
        Self::from(aborted.signal.exit_code())
    }
}

/// Listening to signals failed.
#[derive(Debug, thiserror::Error)]
#[error("could not listen to signals")]
pub struct ListenError(#[from] std::io::Error);

const DRAINING: &str = "finishing what was begun; a second signal aborts";

/// The two stages of an end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
    first: Arc<OnceLock<Signal>>,
}

impl Shutdown {
    /// Listens to SIGINT and SIGTERM of this process for the rest of its life (the signals lose their default action, so listening never stops).
    /// `grace`: how long the work may take to drain before it is aborted; keep it below the pod's `terminationGracePeriodSeconds`. None: as long
    /// as it needs. Must be called inside a tokio runtime.
    pub fn listen(grace: Option<Duration>) -> Result<Self, ListenError> {
        let (sender, receiver) = mpsc::channel(4);
        for (kind, name) in [(SignalKind::interrupt(), Signal::Interrupt), (SignalKind::terminate(), Signal::Terminate)]
        {
            let mut stream = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    // Once the second signal was heard nobody receives any more, and nothing is left to say.
                    let _ = sender.send(name).await;
                }
            });
        }
        Ok(Self::from_signals(receiver, grace))
    }

    /// As [`Self::listen`], with signals from a channel: for tests and for whoever ends the process by other means.
    pub fn from_signals(mut signals: mpsc::Receiver<Signal>, grace: Option<Duration>) -> Self {
        let shutdown =
            Self { soft: CancellationToken::new(), hard: CancellationToken::new(), first: Arc::new(OnceLock::new()) };
        let stages = shutdown.clone();
        tokio::spawn(async move {
            let Some(first) = signals.recv().await else { return };
            let _ = stages.first.set(first);
            // Whoever pressed Ctrl-C waits for an answer; a SIGTERM is the everyday end of a pod.
            match first {
                Signal::Interrupt => tracing::warn!(signal = first.as_str(), "{DRAINING}"),
                Signal::Terminate => tracing::info!(signal = first.as_str(), "{DRAINING}"),
            }
            stages.soft.cancel();
            let expired = async {
                match grace {
                    Some(grace) => tokio::time::sleep(grace).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(second) = signals.recv() => tracing::warn!(signal = second.as_str(), "aborting"),
                () = expired => tracing::warn!(?grace, "aborting: the work did not drain in time"),
            }
            stages.hard.cancel();
        });
        shutdown
    }

    /// Cancelled by the first signal: take no new work, finish and store what was begun.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled by the second signal or by the end of the grace period: drop everything.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// The signal that asked for the end, if one did.
    pub fn signal(&self) -> Option<Signal> {
        self.first.get().copied()
    }

    /// Runs the work to its end, unless it is aborted before; the work itself watches [`Self::soft`].
    pub async fn supervise<T>(&self, work: impl Future<Output = T>) -> Result<T, Aborted> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.hard.cancelled() => Err(Aborted { signal: self.signal().unwrap_or(Signal::Terminate) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(grace: Option<Duration>) -> (mpsc::Sender<Signal>, Shutdown) {
        let (sender, receiver) = mpsc::channel(4);
        (sender, Shutdown::from_signals(receiver, grace))
    }

    #[tokio::test]
    async fn without_a_signal_the_work_ends_by_itself() {
        let (_sender, shutdown) = channel(None);
        assert_eq!(shutdown.supervise(async { 7 }).await, Ok(7));
        assert!(!shutdown.soft().is_cancelled());
        assert_eq!(shutdown.signal(), None);
    }

    #[tokio::test]
    async fn the_first_signal_lets_the_work_drain() {
        let (sender, shutdown) = channel(None);
        sender.send(Signal::Interrupt).await.unwrap();
        let drained = shutdown
            .supervise(async {
                shutdown.soft().cancelled().await;
                "stored"
            })
            .await;
        assert_eq!(drained, Ok("stored"));
        assert!(!shutdown.hard().is_cancelled());
        assert_eq!(shutdown.signal(), Some(Signal::Interrupt));
    }

    #[tokio::test]
    async fn the_second_signal_aborts_work_that_does_not_drain_and_the_first_gives_the_code() {
        let (sender, shutdown) = channel(None);
        sender.send(Signal::Interrupt).await.unwrap();
        sender.send(Signal::Terminate).await.unwrap();
        let aborted = shutdown.supervise(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(aborted, Aborted { signal: Signal::Interrupt });
        assert_eq!(aborted.signal.exit_code(), 130);
        assert!(shutdown.soft().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_drain_within_the_grace_period_is_aborted() {
        let (sender, shutdown) = channel(Some(Duration::from_secs(20)));
        let began = tokio::time::Instant::now();
        sender.send(Signal::Terminate).await.unwrap();
        let aborted = shutdown.supervise(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), 20);
        assert_eq!(aborted.signal.exit_code(), 143);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_channel_of_signals_is_no_signal() {
        let (sender, shutdown) = channel(None);
        drop(sender);
        let waited = tokio::time::timeout(Duration::from_mins(1), shutdown.soft().cancelled()).await;
        assert!(waited.is_err());
    }
}
