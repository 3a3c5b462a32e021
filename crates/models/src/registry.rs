//! The list of models, the bounds of their sizes, and the two ways to run one.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;

use stateright::Model as _;

use crate::election::{Election, Mistake};
use crate::report::Report;
use crate::search::search;

/// The sizes that a parameter of a model may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The size where none is asked for: the whole space is searched within seconds.
    pub default: u8,
    /// Smallest size at which the model's `sometimes` properties can all be reached.
    pub min: u8,
    /// Largest size that a state can hold.
    pub max: u8,
}

/// A model of the registry.
#[derive(Debug)]
pub struct ModelInfo {
    /// The name by which [`run`] and [`explore`] know it.
    pub name: &'static str,
    /// What it models, in one line.
    pub summary: &'static str,
    /// How many servers the cluster may have.
    pub servers: Bounds,
    /// How many terms may see an election.
    pub terms: Bounds,
    /// How many crashes a behaviour may contain.
    pub crashes: Bounds,
    run: fn(Size, &RunOptions) -> Report,
    explore: fn(Size, SocketAddr),
}

/// The sizes of one run, within the model's bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) servers: u8,
    pub(crate) terms: u8,
    pub(crate) crashes: u8,
}

/// How to run a model. The default searches the model's default space completely, in one thread.
#[derive(Clone, Default)]
pub struct RunOptions {
    /// Servers of the cluster; the model's default if `None`.
    pub servers: Option<u8>,
    /// Terms that may see an election; the model's default if `None`.
    pub terms: Option<u8>,
    /// Crashes that a behaviour may contain; the model's default if `None`.
    pub crashes: Option<u8>,
    /// Worker threads, one if `None`. The counts of states do not depend on it; only one thread
    /// makes every path a shortest one.
    pub threads: Option<NonZeroUsize>,
    /// The search ends once it has expanded so many states; no limit if `None`. This limits memory
    /// as well: with two crashes the default model takes 80 MB for 494,102 states.
    pub state_limit: Option<u64>,
    /// Asked now and then (every thousand states or so); the search ends soon after it first
    /// answers true. This is how a caller that owns a clock sets a time limit.
    pub stop: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

/// Why a model could not be run. Each message says what to do instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No model of that name is registered.
    #[error("there is no model named {name:?}; the models are: {known}")]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// The registered names, separated by commas.
        known: String,
    },
    /// A size is outside the model's bounds.
    #[error("model {model} takes {min} to {max} {parameter}, not {asked}")]
    Size {
        /// The model's name.
        model: &'static str,
        /// The parameter in the plural: servers, terms, crashes.
        parameter: &'static str,
        /// What was asked for.
        asked: u8,
        /// Smallest size allowed.
        min: u8,
        /// Largest size allowed.
        max: u8,
    },
    /// The Explorer's address cannot be listened on.
    #[error("cannot serve the explorer on {address}: {source}; choose another address or port")]
    Address {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system answered.
        source: std::io::Error,
    },
}

/// Every model, in the order in which they should be listed.
pub fn registry() -> &'static [ModelInfo] {
    const MODELS: &[ModelInfo] = &[ModelInfo {
        name: "election",
        summary: "Raft leader election: terms, durable votes, crashes, stale logs, any network",
        servers: Bounds { default: 3, min: 3, max: 5 },
        terms: Bounds { default: 2, min: 2, max: 4 },
        crashes: Bounds { default: 1, min: 1, max: 3 },
        run: |size, options| search("election", size, election(size), options),
        explore: |size, address| {
            // Serves until the process ends: the handle it would return is of no use to anybody.
            let _ = election(size).checker().serve(address);
        },
    }];
    MODELS
}

fn election(size: Size) -> Election {
    Election::new(size, Mistake::None)
}

/// Searches the space of the model called `name` and reports on every property.
///
/// # Errors
/// [`Error::UnknownModel`], or [`Error::Size`] if an option is outside the model's bounds.
pub fn run(name: &str, options: &RunOptions) -> Result<Report, Error> {
    let model = find(name)?;
    Ok((model.run)(model.size(options)?, options))
}

/// Serves stateright's Explorer for the model called `name` as a web page on `address`, until the
/// process ends. Of `options` only the sizes count: there the reader steps, not the search.
///
/// # Errors
/// [`Error::UnknownModel`], [`Error::Size`], or [`Error::Address`] if nobody can listen there.
pub fn explore(name: &str, options: &RunOptions, address: SocketAddr) -> Result<(), Error> {
    let model = find(name)?;
    let size = model.size(options)?;
    // Stateright panics when it cannot bind, so that is tried first.
    TcpListener::bind(address).map_err(|source| Error::Address { address, source })?;
    (model.explore)(size, address);
    Ok(())
}

fn find(name: &str) -> Result<&'static ModelInfo, Error> {
    registry().iter().find(|model| model.name == name).ok_or_else(|| Error::UnknownModel {
        name: name.to_owned(),
        known: registry().iter().map(|model| model.name).collect::<Vec<_>>().join(", "),
    })
}

impl ModelInfo {
    fn size(&self, options: &RunOptions) -> Result<Size, Error> {
        let within = |parameter, asked: Option<u8>, bounds: Bounds| {
            let asked = asked.unwrap_or(bounds.default);
            if (bounds.min..=bounds.max).contains(&asked) {
                return Ok(asked);
            }
            Err(Error::Size {
                model: self.name,
                parameter,
                asked,
                min: bounds.min,
                max: bounds.max,
            })
        };
        Ok(Size {
            servers: within("servers", options.servers, self.servers)?,
            terms: within("terms", options.terms, self.terms)?,
            crashes: within("crashes", options.crashes, self.crashes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_model_is_refused_with_the_list_of_models() {
        let error = run("elections", &RunOptions::default()).expect_err("no such model");
        assert_eq!(
            error.to_string(),
            "there is no model named \"elections\"; the models are: election"
        );
    }

    #[test]
    fn a_size_out_of_bounds_is_refused_with_the_bounds() {
        let options = RunOptions { servers: Some(7), ..RunOptions::default() };
        let error = run("election", &options).expect_err("seven servers do not fit");
        assert_eq!(error.to_string(), "model election takes 3 to 5 servers, not 7");
    }

    #[test]
    fn an_address_in_use_is_an_error_and_no_panic() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("some port is free");
        let address = taken.local_addr().expect("a bound socket has an address");
        let error = explore("election", &RunOptions::default(), address).expect_err("in use");
        assert!(matches!(error, Error::Address { .. }), "{error}");
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the explorer serves until the process ends, so it needs a thread of its own"
    )]
    fn the_explorer_answers_on_its_address() {
        use std::io::{Read, Write};

        let free = TcpListener::bind("127.0.0.1:0").expect("some port is free");
        let address = free.local_addr().expect("a bound socket has an address");
        drop(free);
        std::thread::spawn(move || explore("election", &RunOptions::default(), address));
        let mut stream = (0..500)
            .find_map(|_| {
                std::thread::sleep(std::time::Duration::from_millis(10));
                std::net::TcpStream::connect(address).ok()
            })
            .expect("the explorer listens within five seconds");
        stream.write_all(b"GET /.states HTTP/1.0\r\n\r\n").expect("the explorer reads a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the explorer answers in UTF-8");
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        assert!(answer.contains("Diverged"), "an initial state is shown: {answer}");
    }
}
