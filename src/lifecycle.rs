//! Stopping in two phases: first nothing new is begun, then what is under way is cut off.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The service's life.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Begin nothing new.
    pub soft: CancellationToken,
    /// Drop what is under way.
    pub hard: CancellationToken,
}

impl Lifecycle {
    /// SIGTERM and SIGINT stop softly, and hard after `grace` or at the second signal.
    pub fn listen(&self, grace: Duration) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let life = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = life.soft.cancelled() => {}
            }
            if !life.soft.is_cancelled() {
                tracing::info!("stopping: nothing new is begun, what is under way has {grace:?}");
            }
            life.soft.cancel();
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = tokio::time::sleep(grace) => {}
            }
            life.hard.cancel();
        });
        Ok(())
    }

    /// Ends a task that has no end of its own when the time is up; `None` where it was cut off.
    pub async fn until_hard<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            value = work => Some(value),
            () = self.hard.cancelled() => None,
        }
    }
}
