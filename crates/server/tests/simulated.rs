//! Runs the tests of `src/simulated.rs`, which need every crate built for madsim's simulation: in a
//! cargo of their own, with a target folder of its own.
#![cfg(not(madsim))]
#![expect(clippy::disallowed_methods, reason = "it passes the caller's flags on")]

use std::env;
use std::path::Path;
use std::process::Command;

/// The tests that have to have run.
const TESTS: &[&str] = &[
    "a_clogged_link_stops_nobody",
    "a_member_dies_and_comes_back_and_no_write_is_lost",
    "a_member_that_is_cut_off_answers_no_linearizable_read_and_catches_up",
    "a_server_that_stops_tells_its_clients",
    "all_members_lose_power_and_no_write_is_lost",
];

#[test]
fn the_shell_holds_in_a_simulation() {
    // `…/target/tmp` is what cargo gives to tests.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in a folder");
    let flags = format!("{} --cfg madsim", env::var("RUSTFLAGS").unwrap_or_default());
    let output = Command::new(env!("CARGO"))
        .args(["test", "--locked", "--profile", "dev", "--package", "quorate-server", "--lib"])
        .arg("--target-dir")
        .arg(target.join("madsim"))
        .args(["simulated::", "--", "--test-threads", "2"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("RUSTFLAGS", flags)
        .env("CARGO_TERM_COLOR", "never")
        // What the outer cargo says to its own compilers.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    for test in TESTS {
        let line = format!("test simulated::{test} ... ok");
        assert!(said.contains(&line), "'{line}' is missing:\n{said}\n{errors}");
    }
}
