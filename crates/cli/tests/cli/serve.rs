//! `quorate serve` as a process: what it says, how it stops, what it refuses.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
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
        let (code, said) = serving.stop(signal);
        assert_eq!(code, Some(0), "{signal:?}: {said}");
        // A line for each event, with its time; no warning, and nothing of what libraries say.
        assert!(said.contains("leads the cluster in term"), "{said}");
        for line in said.lines() {
            let (time, event) = line.split_once(' ').expect("a time and an event");
            assert!(time.ends_with('Z') && event.trim_start().starts_with("INFO "), "{line}");
        }
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
    for in_the_way in [file.clone(), file.join("data")] {
        let what = "file: not a directory\nhelp:  choose another data directory";
        refused(&mut serve(&in_the_way), what);
    }

    // What stands before a semicolon is not taken for all that is wrong.
    let data = folder.path().join("here; and there");
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
    refused(foreign.args(["--initial-cluster-token", "another"]), "here; and there: the disk");
    refused(&mut foreign, "own data directory\nhelp:  if this is its own, start it with");
    let tls = ["serve", "--listen-client-urls", "https://127.0.0.1:2379"];
    let said = run(tls).expect_code(2).stderr;
    assert!(said.contains("TLS") && said.contains("; write http://HOST:PORT"), "{said}");
}

#[test]
fn a_member_that_does_not_listen_where_the_others_look_for_it_is_warned_of() {
    let folder = TempDir::new().expect("a folder");
    let mut command = serve(folder.path());
    // It is alone, so that it serves all the same.
    command.args(["--initial-cluster", "default=http://127.0.0.1:1"]);
    let (code, said) = Serving::start(&mut command).stop(Signal::TERM);
    assert_eq!(code, Some(0), "{said}");
    let warning = "reach this member at http://127.0.0.1:1, where it does not listen";
    assert!(said.starts_with("warning: ") && said.contains(warning), "{said}");
}

#[test]
fn a_member_with_nobody_to_hear_says_what_it_waits_for() {
    let folder = TempDir::new().expect("a folder");
    let mut command = serve(folder.path());
    let members = "default=http://127.0.0.1:1,two=http://127.0.0.1:2,three=http://127.0.0.1:3";
    command.args(["--election-timeout", "500", "--initial-cluster", members]);
    let mut process =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let stderr = BufReader::new(process.stderr.take().expect("it was piped"));
    let waits = stderr.lines().map(|line| line.expect("it says UTF-8")).find(|line| {
        line.contains("not ready: waits for a leader, for which 2 of 3 voting members")
    });
    assert!(waits.is_some(), "it ended without a word");
    kill_process(Pid::from_child(&process), Signal::TERM).expect("it can be told");
    let output = process.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty(), "it was never ready");
}

/// A member alone, which takes a snapshot every three writes.
fn with_snapshots(data_dir: &Path) -> Serving {
    let mut command = serve(data_dir);
    Serving::start(command.args(["--format", "json", "--snapshot-count", "3"]))
}

/// The life of a member in which a thousand bytes are written to the same key ten times.
fn write_and_stop(data_dir: &Path) {
    let serving = with_snapshots(data_dir);
    let ready: Value = serde_json::from_str(&serving.ready).expect("a line of JSON");
    let url = ready["client_urls"][0].as_str().expect("a URL").to_owned();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("the system gives threads").block_on(async {
        let mut client = etcd_client::Client::connect([url], None).await.expect("the URL is fine");
        for _ in 0..10 {
            client.put("key", vec![b'v'; 1000], None).await.expect("it is ready");
        }
    });
    let (_, said) = serving.stop(Signal::TERM);
    assert!(said.contains("took a snapshot, as of entry"), "{said}");
}

#[test]
fn damage_that_nobody_can_repair_is_said_while_it_serves() {
    let folder = TempDir::new().expect("a folder");
    write_and_stop(folder.path());
    flip(&first(&folder.path().join("member/store"), "data"), &[b'v'; 100]);

    let mut serving = with_snapshots(folder.path());
    assert!(serving.ready.contains("\"ready\":true"), "{}", serving.ready);
    let stderr = BufReader::new(serving.process.stderr.as_mut().expect("it was piped"));
    let mut lines = stderr.lines().map(|line| line.expect("it says UTF-8"));
    let damage = lines.find(|line| line.contains("found damage in the store"));
    let damage = damage.expect("it ended without a word");
    for part in ["WARN", "the change of b\"key\" at revision", "no other member"] {
        assert!(damage.contains(part), "{part}: {damage}");
    }
}

#[test]
fn damage_that_does_no_harm_is_said_to_do_none() {
    let folder = TempDir::new().expect("a folder");
    write_and_stop(folder.path());
    // The log before its newest snapshot, and what can be written anew.
    flip(&first(&folder.path().join("member/wal"), "wal"), &[b'v'; 100]);
    flip(&first(&folder.path().join("member/store"), "keys"), b"key");

    let (code, said) = with_snapshots(folder.path()).stop(Signal::TERM);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "; nothing that the member needs was in it\n",
        "set aside: member/wal/0000000000000000-0000000000000000.wal.damaged\n",
        "its keys' file was damaged, and is written anew from its data\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("the others"), "there are none: {said}");
}

/// The first file with that extension.
#[expect(clippy::disallowed_methods, reason = "a test that damages files")]
fn first(dir: &Path, extension: &str) -> PathBuf {
    let files = std::fs::read_dir(dir).expect("the member's directory");
    let files = files.map(|file| file.expect("a file").path());
    let files = files.filter(|path| path.extension().is_some_and(|own| own == extension));
    files.min().expect("there is one")
}

/// Changes a bit of the first place where a file has these bytes.
#[expect(clippy::disallowed_methods, reason = "a test that damages files")]
fn flip(file: &Path, what: &[u8]) {
    let mut bytes = std::fs::read(file).expect("it is there");
    let place = bytes.windows(what.len()).position(|window| window == what).expect("it has them");
    bytes[place + what.len() / 2] ^= 1;
    std::fs::write(file, bytes).expect("there is room");
}
