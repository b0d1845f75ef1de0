use std::io::{self, Write};

use peercam_proto::text::Printable;

/// Writes lines of a log, one with each call, so that none holds anything but what is seen: whatever
/// a camera, a library or a viewer put into it can neither act on a terminal nor forge another line.
#[derive(Debug)]
pub struct LogLines<W>(pub W);

impl<W: Write> Write for LogLines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let printable = format!("{}\n", Printable(text));
        self.0.write_all(printable.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_in_an_event_forges_a_line_or_acts_on_a_terminal() {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || LogLines(writer.clone()));
        let subscriber = tracing_subscriber::registry().with(layer);
        let hostile = "x\r\n2026-01-01T00:00:00Z  INFO forged \x1b[2J\u{9b}31m\u{202e}\u{2028}";
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(shown = %hostile, debug = ?hostile, text = hostile, "{hostile}");
            tracing::info!("the next");
        });
        let bytes = kept.0.lock().expect("not poisoned").clone();
        let text = String::from_utf8(bytes).expect("UTF-8");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.ends_with("the next\n"), "{text}");
        let is_fine = |c| c == '\n' || peercam_proto::text::is_printable(c);
        assert!(text.chars().all(is_fine), "{text}");
        assert_eq!(text.matches("forged").count(), 4, "{text}");
    }
}
