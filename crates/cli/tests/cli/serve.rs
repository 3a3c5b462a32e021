//! `quorate serve` as a process: what it says, how it stops, what it refuses.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{quorate, run, write};

const ANY_PORT: &str = "http://127.0.0.1:0";

fn serve(data_dir: &Path) -> Command {
    let mut command = quorate();
    command
        .args(["serve", "--listen-client-urls", ANY_PORT, "--listen-peer-urls", ANY_PORT])
        .arg("--data-dir")
        .arg(data_dir);
    command
}

/// A server that ends with the test.
struct Serving {
    process: Child,
    ready: String,
}

impl Serving {
    fn start(command: &mut Command) -> Serving {
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut ready = String::new();
        let stdout = process.stdout.as_mut().expect("it was piped");
        BufReader::new(stdout).read_line(&mut ready).expect("it says UTF-8");
        Serving { process, ready }
    }

    fn stop(mut self, signal: Signal) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.process), signal).expect("it can be told");
        let code = self.process.wait().expect("it ends").code();
        let mut said = String::new();
        let stderr = self.process.stderr.as_mut().expect("it was piped");
        stderr.read_to_string(&mut said).expect("it says UTF-8");
        (code, said)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn it_says_one_line_when_it_is_ready_and_stops_when_told() {
    let folder = TempDir::new().expect("a folder");
    for signal in [Signal::TERM, Signal::INT] {
        let serving = Serving::start(&mut serve(folder.path()));
        let begin = "ready: member 18872ab49415b7e4 (default) of cluster e75700c5e2c7c3ee, \
                     clients at http://127.0.0.1:";
        assert!(serving.ready.starts_with(begin), "{}", serving.ready);
        assert!(serving.ready.trim_end().ends_with(&folder.path().display().to_string()));
        assert_eq!(serving.stop(signal), (Some(0), String::new()), "{signal:?}");
    }
    let mut command = serve(folder.path());
    let serving = Serving::start(command.args(["--format", "json"]));
    let ready: Value = serde_json::from_str(&serving.ready).expect("a line of JSON");
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["member_id"], "18872ab49415b7e4");
    let urls = ready["client_urls"].as_array().expect("a list");
    assert!(urls.iter().all(|url| url != ANY_PORT), "the real port: {urls:?}");
    serving.stop(Signal::TERM);
}

#[test]
fn what_it_cannot_use_is_named_and_ends_it_with_2() {
    let folder = TempDir::new().expect("a folder");
    let file = write(folder.path(), "file", "in the way");
    let refused = |command: &mut Command, what: &str| {
        let output = command.output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: ") && said.contains(what), "'{what}': {said}");
        assert!(output.stdout.is_empty());
    };
    refused(&mut serve(&file.join("data")), "cannot be opened as a data directory");

    let data = folder.path().join("data");
    refused(serve(&data).args(["--name", "other", "--initial-cluster", "one=http://h:1"]), "other");
    refused(serve(&data).args(["--election-timeout", "200"]), "make it at least 500ms");
    assert!(!data.exists(), "what is refused leaves nothing behind");

    let serving = Serving::start(serve(&data).args(["--format", "json"]));
    refused(&mut serve(&data), "in use by another process");
    let ready: Value = serde_json::from_str(&serving.ready).expect("a line of JSON");
    let taken = ready["client_urls"][0].as_str().expect("a URL");
    let other = folder.path().join("other");
    refused(
        quorate()
            .args(["serve", "--listen-client-urls", taken, "--listen-peer-urls", ANY_PORT])
            .arg("--data-dir")
            .arg(&other),
        "cannot listen at",
    );
    assert!(!other.exists());
    serving.stop(Signal::TERM);

    let mut foreign = serve(&data);
    refused(foreign.args(["--initial-cluster-token", "another"]), "own data directory");
    let tls = ["serve", "--listen-client-urls", "https://127.0.0.1:2379"];
    assert!(run(tls).expect_code(2).stderr.contains("TLS"));
}
