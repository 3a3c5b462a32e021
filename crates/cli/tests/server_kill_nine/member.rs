//! The servers: real processes, each of which ends with the test whatever happens.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a server may take to come up, or to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// All members of a cluster.
pub(crate) struct Group(Vec<Member>);

struct Member {
    folder: PathBuf,
    name: String,
    client_url: String,
    peer_url: String,
    cluster: String,
    process: Option<Child>,
}

impl Group {
    /// Starts a new cluster and waits until its members serve.
    pub(crate) async fn start(folder: &Path, members: usize) -> Group {
        let urls = free_urls(2 * members);
        let (client_urls, peer_urls) = urls.split_at(members);
        let names: Vec<String> = (1..=members).map(|number| format!("m{number}")).collect();
        let cluster: Vec<_> =
            names.iter().zip(peer_urls).map(|(name, url)| format!("{name}={url}")).collect();
        let cluster = cluster.join(",");
        let member = |((name, client_url), peer_url): ((&String, &String), &String)| Member {
            folder: folder.to_owned(),
            name: name.clone(),
            client_url: client_url.clone(),
            peer_url: peer_url.clone(),
            cluster: cluster.clone(),
            process: None,
        };
        let all: Vec<usize> = (0..members).collect();
        let members = names.iter().zip(client_urls).zip(peer_urls).map(member);
        let mut group = Group(members.collect());
        group.restart(&all).await;
        group
    }

    pub(crate) fn client_urls(&self) -> Vec<String> {
        self.0.iter().map(|member| member.client_url.clone()).collect()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, member: usize) {
        let mut process = self.0[member].process.take().expect("it runs");
        let ended = process.try_wait().expect("it can be asked");
        assert_eq!(ended, None, "the server ended by itself: {}", self.0[member].said());
        process.kill().expect("it can be killed");
        process.wait().expect("it is gone");
    }

    /// Starts members that do not run, and waits until they serve: one alone may need another one
    /// for that.
    pub(crate) async fn restart(&mut self, members: &[usize]) {
        let outputs: Vec<_> = members.iter().map(|member| self.0[*member].start()).collect();
        for (member, output) in members.iter().zip(outputs) {
            self.0[*member].is_ready(output).await;
        }
    }

    /// Asks all to stop, as an operator would.
    pub(crate) fn stop(mut self) {
        for member in &mut self.0 {
            let process = member.process.as_ref().expect("it runs");
            let pid = Pid::from_child(process);
            kill_process(pid, Signal::TERM).expect("it can be told");
        }
        let begun = Instant::now();
        for member in &mut self.0 {
            let process = member.process.as_mut().expect("it runs");
            let code = loop {
                match process.try_wait().expect("it can be asked") {
                    Some(status) => break status.code(),
                    None => assert!(begun.elapsed() < PATIENCE, "it stops in time"),
                }
                std::thread::sleep(Duration::from_millis(10));
            };
            member.process = None;
            assert_eq!(code, Some(0), "{}", member.said());
        }
    }
}

impl Drop for Group {
    /// Whatever a failing test has left running.
    fn drop(&mut self) {
        for process in self.0.iter_mut().filter_map(|member| member.process.as_mut()) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Member {
    fn start(&mut self) -> ChildStdout {
        let mut process = self.command().spawn().expect("the binary starts");
        let stdout = process.stdout.take().expect("it was piped");
        self.process = Some(process);
        stdout
    }

    /// Waits for the line that says so.
    async fn is_ready(&self, stdout: ChildStdout) {
        let first_line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = tokio::time::timeout(PATIENCE, first_line).await;
        let line = line.unwrap_or_else(|_| panic!("it is ready in time: {}", self.said()));
        let line = line.expect("no panic").expect("it is UTF-8");
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{line:?}: {error}: {}", self.said()));
        assert_eq!(ready["client_urls"], serde_json::json!([self.client_url]));
    }

    fn command(&self) -> Command {
        let errors = File::options().create(true).append(true).open(self.errors());
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        command
            .args(["serve", "--format", "json", "--name", &self.name])
            .args(["--listen-client-urls", &self.client_url])
            .args(["--listen-peer-urls", &self.peer_url])
            .args(["--initial-cluster", &self.cluster])
            // Short, so that there is a leader again soon; snapshots often, so that they are
            // killed as well.
            .args(["--heartbeat-interval", "20", "--election-timeout", "150"])
            .args(["--snapshot-count", "100"])
            .arg("--data-dir")
            .arg(self.folder.join(&self.name))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors.expect("the test's folder can be written"));
        command
    }

    fn errors(&self) -> PathBuf {
        self.folder.join(format!("{}.stderr", self.name))
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.errors()).unwrap_or_default()
    }
}

/// Addresses that were free a moment ago.
fn free_urls(count: usize) -> Vec<String> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("loopback has free ports"))
        .collect();
    let url =
        |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("it is bound"));
    listeners.iter().map(url).collect()
}
