//! The layers of ARCHITECTURE.md, held: who may depend on whom, and what the core may not touch.
#![expect(clippy::disallowed_methods, reason = "a test that reads the source tree")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crate → the crates of ours that it may name in `[dependencies]`.
const ALLOWED: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("raft", &[]),
    ("history", &[]),
    ("wal", &["proto"]),
    ("disk", &["wal"]),
    ("mvcc", &["wal"]),
    ("checker", &["history"]),
    ("member", &["proto", "raft", "wal", "mvcc"]),
    ("models", &[]),
    ("server", &["disk", "member", "mvcc", "proto", "raft", "wal"]),
    ("sim", &["member", "mvcc", "raft", "wal", "proto", "history", "checker"]),
    ("cli", &["checker", "disk", "history", "models", "mvcc", "proto", "server", "sim", "wal"]),
];

/// The deterministic core: what was simulated is what runs.
const CORE: &[&str] = &["proto", "raft", "wal", "mvcc", "member"];

/// Crates that bring clocks, randomness, threads or I/O, and so may not be reached from the core.
const BANNED_IN_CORE: &[&str] = &[
    "tokio",
    "rand",
    "rand_core",
    "rand_chacha",
    "getrandom",
    "mio",
    "async-std",
    "smol",
    "rayon",
    "tempfile",
    "libc",
];

/// What no line of the core may name. `clippy.toml` bans most of it as well; this test also sees
/// paths that a lint would resolve away.
const BANNED_TEXT: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::time::Instant",
    "SystemTime",
    "HashMap",
    "HashSet",
    "f64",
    "f32",
];

struct Graph {
    /// Direct normal dependencies of each package, by name.
    normal: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn load() -> Graph {
        let metadata = MetadataCommand::new()
            .manifest_path(root().join("Cargo.toml"))
            .exec()
            .expect("cargo metadata runs");
        let names: BTreeMap<_, _> = metadata
            .packages
            .iter()
            .map(|package| (package.id.clone(), package.name.to_string()))
            .collect();
        let resolve = metadata.resolve.expect("cargo metadata resolves dependencies");
        let mut normal: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in resolve.nodes {
            let of = normal.entry(names[&node.id].clone()).or_default();
            for dependency in node.deps {
                if dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal) {
                    of.insert(names[&dependency.pkg].clone());
                }
            }
        }
        Graph { normal }
    }

    fn reached_from(&self, package: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut open = vec![package.to_owned()];
        while let Some(name) = open.pop() {
            for dependency in self.normal.get(&name).into_iter().flatten() {
                if reached.insert(dependency.clone()) {
                    open.push(dependency.clone());
                }
            }
        }
        reached
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn each_crate_depends_only_on_the_layers_below_it() {
    let graph = Graph::load();
    for (name, allowed) in ALLOWED {
        let package = format!("quorate-{name}");
        let direct =
            graph.normal.get(&package).unwrap_or_else(|| panic!("{package} is a workspace member"));
        for dependency in direct.iter().filter_map(|dependency| dependency.strip_prefix("quorate-"))
        {
            assert!(
                allowed.contains(&dependency),
                "quorate-{name} must not depend on quorate-{dependency}; allowed: {allowed:?}"
            );
        }
    }
    let listed: BTreeSet<_> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let present: BTreeSet<_> = graph
        .normal
        .keys()
        .filter_map(|package| package.strip_prefix("quorate-"))
        .filter(|name| *name != "workspace")
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, present, "every crate has its row in ALLOWED, and every row its crate");
}

#[test]
fn consensus_depends_on_nothing() {
    let graph = Graph::load();
    assert_eq!(graph.reached_from("quorate-raft"), BTreeSet::new());
}

#[test]
fn the_core_reaches_no_clock_randomness_or_io() {
    let graph = Graph::load();
    for name in CORE {
        let reached = graph.reached_from(&format!("quorate-{name}"));
        for banned in BANNED_IN_CORE {
            assert!(!reached.contains(*banned), "quorate-{name} reaches {banned}");
        }
    }
}

#[test]
fn the_checker_reaches_only_the_history_among_ours() {
    let graph = Graph::load();
    let ours: Vec<_> = graph
        .reached_from("quorate-checker")
        .into_iter()
        .filter(|package| package.starts_with("quorate-"))
        .collect();
    assert_eq!(ours, ["quorate-history"]);
}

#[test]
fn no_source_of_the_core_names_what_is_not_deterministic() {
    let mut seen = 0;
    for name in CORE {
        for file in rust_files(&root().join("crates").join(name).join("src")) {
            seen += 1;
            let text = std::fs::read_to_string(&file).expect("a source file is readable");
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for banned in BANNED_TEXT {
                    assert!(
                        !code.contains(banned),
                        "{}:{}: {banned} does not belong in the core: {line}",
                        file.display(),
                        number + 1
                    );
                }
            }
        }
    }
    assert!(seen >= CORE.len(), "the test looked at {seen} files only");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a source folder is readable") {
        let path = entry.expect("a folder entry is readable").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
