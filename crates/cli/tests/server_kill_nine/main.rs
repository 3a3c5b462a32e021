//! Kills servers with -9 under load, on a real disk, and has what their clients saw judged.
//!
//! The servers are the real binary, the clients the crate `etcd-client`, the judge `quorate check`.
//! `QUORATE_KILLS` sets how often servers are killed, `QUORATE_SEED` what clients ask and when
//! that happens (as far as real time lets it).
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "real processes, files and time are what this test is about"
)]

mod client;
mod member;
mod record;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::time::sleep;

use client::Client;
use member::Group;
use record::Record;

/// How often servers are killed, unless `QUORATE_KILLS` says it.
const KILLS: u32 = 4;
/// Clients at a time.
const CLIENTS: u64 = 4;
/// So much is answered after the last kill before the clients come to an end.
const AFTERWARDS: u64 = 100;
/// What is not over after so long, for each kill, never will be.
const PATIENCE_A_KILL: Duration = Duration::from_secs(20);

#[test]
fn a_member_alone_keeps_its_word_when_it_is_killed() {
    survives(1);
}

#[test]
fn three_members_keep_their_word_when_they_are_killed() {
    survives(3);
}

fn survives(members: usize) {
    let (kills, seed) = (number("QUORATE_KILLS", u64::from(KILLS)) as u32, number_or_fresh());
    println!("{kills} kills of {members} members; QUORATE_SEED={seed} asks the same again");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kill-nine-{members}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("cargo gives tests a folder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("the operating system gives threads");
    let record = runtime.block_on(async {
        let limit = PATIENCE_A_KILL * (kills + 2);
        let run = campaign(&folder, members, kills, seed);
        tokio::time::timeout(limit, run).await.expect("it is over in time")
    });

    let counts = record.counts();
    println!("{counts:?}");
    assert!(counts.ok >= u64::from(kills) * 20, "there was load all the time: {counts:?}");
    assert!(counts.unknown > 0, "servers were killed while clients waited: {counts:?}");
    judge(&record, &folder);
    std::fs::remove_dir_all(&folder).expect("it can be removed");
}

/// Load, kills, then quiet, in which every member has to answer again.
async fn campaign(folder: &Path, members: usize, kills: u32, seed: u64) -> Arc<Record> {
    let record = Arc::new(Record::new(json!({ "kill_nine": members, "seed": seed })));
    let mut group = Group::start(folder, members).await;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let client = Client::new(number, seed, group.client_urls(), Arc::clone(&record));
        clients.push(tokio::spawn(client.run()));
    }
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..kills {
        sleep(Duration::from_millis(chance.random_range(200..700))).await;
        let victims = victims(&mut chance, members);
        for &victim in &victims {
            group.kill(victim).await;
            record.fault(json!({ "kind": "kill", "member": victim }));
        }
        sleep(Duration::from_millis(chance.random_range(0..400))).await;
        group.restart(&victims).await;
        for victim in victims {
            record.fault(json!({ "kind": "restart", "member": victim }));
        }
    }
    record.successes(AFTERWARDS).await;
    record.stop();
    for client in clients {
        client.await.expect("a client does not panic");
    }
    for (number, url) in (CLIENTS..).zip(group.client_urls()) {
        Client::new(number, seed, vec![url], Arc::clone(&record)).read_everything().await;
    }
    group.stop().await;
    record
}

/// Mostly one member; now and then a majority, or all.
fn victims(chance: &mut impl Rng, members: usize) -> Vec<usize> {
    let first = chance.random_range(0..members);
    let count = match chance.random_range(0..10) {
        0..6 => 1,
        6..8 => members.div_ceil(2),
        _ => members,
    };
    (0..count).map(|next| (first + next) % members).collect()
}

/// Has the history judged by the program itself.
fn judge(record: &Record, folder: &Path) {
    let file: PathBuf = folder.join("history.jsonl");
    record.write(&file);
    let judged = Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(["check", "--model", "etcd", "--timeout", "2m"])
        .arg(&file)
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&judged.stdout);
    println!("{said}");
    let errors = String::from_utf8_lossy(&judged.stderr);
    assert_eq!(judged.status.code(), Some(0), "{said}\n{errors}\nhistory: {}", file.display());
}

fn number(name: &str, otherwise: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name}: {error}")),
        Err(_) => otherwise,
    }
}

fn number_or_fresh() -> u64 {
    number("QUORATE_SEED", rand::random())
}
