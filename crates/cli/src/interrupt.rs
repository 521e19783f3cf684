//! SIGINT and SIGTERM, as something to wait for.

use tokio::sync::watch;

/// Becomes true when the user wants the command to end.
#[derive(Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Begins to listen. A second signal ends the process at once.
    pub(crate) fn listen() -> Self {
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            signal().await;
            let _ = sender.send(true);
            signal().await;
            std::process::exit(130);
        });
        Self(receiver)
    }

    pub(crate) fn happened(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves once it has happened.
    pub(crate) async fn wait(&mut self) {
        if self.0.wait_for(|happened| *happened).await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                biased;
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

#[cfg(not(unix))]
async fn signal() {
    drop(tokio::signal::ctrl_c().await);
}
