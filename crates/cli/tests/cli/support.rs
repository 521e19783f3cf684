//! Processes under test. None outlives its test, and no wait is without a limit.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long any wait may take, on a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(30);

/// A call of the binary that is to be made.
pub(crate) struct Milena {
    command: Command,
    input: Option<Vec<u8>>,
}

/// `milena` with arguments, and with none of this process's own settings.
pub(crate) fn milena<S: Into<OsString> + Clone>(args: &[S]) -> Milena {
    let mut command = Command::new(env!("CARGO_BIN_EXE_milena"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MILENA_") {
            command.env_remove(name);
        }
    }
    command.args(args.iter().cloned().map(Into::into));
    Milena {
        command,
        input: Some(Vec::new()),
    }
}

impl Milena {
    /// With this broker as `MILENA_BOOTSTRAP`.
    pub(crate) fn on(self, broker: &Broker) -> Self {
        self.env("MILENA_BOOTSTRAP", &broker.bootstrap)
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.command.arg(arg.into());
        self
    }

    /// With this on standard input, which is empty otherwise.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Run {
        self.start().finish()
    }

    /// Starts it, with its standard input open until [`Process::finish`] if `keep_input`.
    pub(crate) fn start(mut self) -> Process {
        let input = self.input.take();
        let mut process = Process::spawn(self.command, true);
        if let Some(bytes) = input {
            let mut stdin = process.stdin.take().unwrap();
            // A process that fails early does not read all of it.
            std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        }
        process
    }

    /// Starts it with its standard input open: see [`Process::write`].
    pub(crate) fn start_typing(mut self) -> Process {
        self.input = None;
        self.start()
    }

    /// Starts it, closes its standard output after the first byte has been read from it, and waits for
    /// its end.
    pub(crate) fn run_into_closed_pipe(self) -> Run {
        let mut process = Process::spawn(self.command, false);
        let mut stdout = process.child.stdout.take().unwrap();
        let mut first = [0];
        stdout.read_exact(&mut first).unwrap();
        drop(stdout);
        process.finish()
    }
}

enum Event {
    Out(Vec<u8>),
    Err(Vec<u8>),
    End,
}

/// A running process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    events: Receiver<Event>,
    open: usize,
    out: Vec<u8>,
    err: Vec<u8>,
    shown: String,
    started: Instant,
}

impl Process {
    fn spawn(mut command: Command, with_out: bool) -> Self {
        let shown = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, events) = channel();
        let mut open = 1;
        follow(child.stderr.take().unwrap(), sender.clone(), Event::Err);
        if with_out {
            open += 1;
            follow(child.stdout.take().unwrap(), sender, Event::Out);
        }
        Self {
            stdin: child.stdin.take(),
            child,
            events,
            open,
            out: Vec::new(),
            err: Vec::new(),
            shown,
            started: Instant::now(),
        }
    }

    /// Writes to its standard input; returns when the pipe has taken it all.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Waits until this is on its standard output.
    pub(crate) fn wait_for_out(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        while !String::from_utf8_lossy(&self.out).contains(text) {
            assert!(
                self.step(deadline),
                "it ended without {text:?}: {}",
                self.seen()
            );
        }
        String::from_utf8_lossy(&self.out).into_owned()
    }

    pub(crate) fn interrupt(&self) {
        let id = Pid::from_child(&self.child);
        kill_process(id, Signal::INT).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Run {
        let deadline = Instant::now() + LIMIT;
        while self.step(deadline) {}
        let status = self.child.wait().unwrap();
        Run {
            code: status.code(),
            took: self.started.elapsed(),
            seen: self.seen(),
            out: std::mem::take(&mut self.out),
            err: String::from_utf8_lossy(&self.err).into_owned(),
        }
    }

    /// Takes in what it prints next; false once both of its outputs have ended.
    fn step(&mut self, deadline: Instant) -> bool {
        if self.open == 0 {
            return false;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match self.events.recv_timeout(left) {
            Ok(Event::Out(bytes)) => self.out.extend(bytes),
            Ok(Event::Err(bytes)) => self.err.extend(bytes),
            Ok(Event::End) => self.open -= 1,
            Err(_) => panic!("nothing more within {LIMIT:?}: {}", self.seen()),
        }
        true
    }

    fn seen(&self) -> String {
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]).into_owned();
        format!(
            "{}\nstdout ({} bytes): {}\nstderr: {}",
            self.shown,
            self.out.len(),
            text(&self.out),
            text(&self.err)
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(
    mut from: impl Read + Send + 'static,
    to: Sender<Event>,
    event: impl Fn(Vec<u8>) -> Event + Send + 'static,
) {
    std::thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.send(event(buffer[..count].to_vec())).is_err() {
                return;
            }
        }
        let _ = to.send(Event::End);
    });
}

/// What became of a process.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) took: Duration,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
    seen: String,
}

impl Run {
    /// What it printed, given that it succeeded and, as nobody watches, said nothing else.
    #[track_caller]
    pub(crate) fn ok(self) -> Vec<u8> {
        assert_eq!(self.code, Some(0), "{}", self.seen);
        assert_eq!(self.err, "", "{}", self.seen);
        self.out
    }

    /// As [`Run::ok`], as text.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        String::from_utf8(self.ok()).unwrap()
    }

    /// Checks that it failed with this code and said each of these once.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, said: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.seen);
        for text in said {
            let count = self.err.matches(text).count();
            assert_eq!(count, 1, "{text:?} is said {count} times: {}", self.seen);
        }
        self
    }
}

/// The embedded broker as a process.
pub(crate) struct Broker {
    pub(crate) bootstrap: String,
    _process: Process,
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(flags: &[&str]) -> Self {
        let mut args = vec!["broker", "--listen", "127.0.0.1:0"];
        args.extend(flags);
        let mut process = milena(&args).start();
        let bootstrap = process.wait_for_out("\n").trim().to_owned();
        Self {
            bootstrap,
            _process: process,
        }
    }

    /// Writes lines to a topic.
    #[track_caller]
    pub(crate) fn produce(&self, topic: &str, lines: &str) {
        milena(&["produce", topic]).on(self).input(lines).run().ok();
    }

    /// Reads a topic to its end.
    #[track_caller]
    pub(crate) fn consume(&self, topic: &str, flags: &[&str]) -> String {
        let mut args = vec!["consume", topic, "--exit-at-end"];
        args.extend(flags);
        milena(&args).on(self).run().text()
    }
}

/// Files that are gone when this is dropped.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
