//! The servers: real processes, each of which ends with the test whatever happens.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

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
    pub(crate) async fn kill(&mut self, member: usize) {
        let mut process = self.0[member].process.take().expect("it runs");
        let ended = process.try_wait().expect("it can be asked");
        assert_eq!(ended, None, "the server ended by itself: {}", self.0[member].said());
        process.kill().await.expect("it can be killed");
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
    pub(crate) async fn stop(mut self) {
        for member in &self.0 {
            let pid = member.process.as_ref().and_then(Child::id).expect("it runs");
            let pid = Pid::from_raw(pid.cast_signed()).expect("it is no group of processes");
            kill_process(pid, Signal::TERM).expect("it can be told");
        }
        for member in &mut self.0 {
            let mut process = member.process.take().expect("it runs");
            let ended = timeout(PATIENCE, process.wait()).await.expect("it stops in time");
            let status = ended.expect("it can be waited for");
            assert_eq!(status.code(), Some(0), "{}", member.said());
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
        let (mut stdout, mut line) = (BufReader::new(stdout), String::new());
        let read = timeout(PATIENCE, stdout.read_line(&mut line)).await;
        let read = read.unwrap_or_else(|_| panic!("it is ready in time: {}", self.said()));
        read.expect("it is UTF-8");
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
            .stderr(errors.expect("the test's folder can be written"))
            // Whatever a failing test leaves running.
            .kill_on_drop(true);
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
