//! What a test logs, for tests that look for what must not be there.

use std::io::Write;
use std::sync::{Arc, Mutex};

/// Everything that is logged on this thread, down to the last detail.
pub(crate) struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

#[derive(Clone)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn start() -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = Sink(text.clone());
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_writer(move || sink.clone())
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub(crate) fn holds(&self, part: &str) -> bool {
        String::from_utf8_lossy(&self.text.lock().unwrap()).contains(part)
    }

    pub(crate) fn must_not_hold(&self, secrets: &[&str]) {
        let text = self.text.lock().unwrap();
        let text = String::from_utf8_lossy(&text);
        for secret in secrets {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "a secret is logged: {line:?}");
        }
    }
}
