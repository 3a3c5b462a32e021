//! The one binary, `quorate`: the command line over the simulator, the checker, the models and the
//! server.
//!
//! It owns what they must not touch: files, the clock, the terminal, the exit code. Each command
//! has a module; all of them speak through [`output`].

mod args;
mod check;
mod counterexample;
mod error;
mod events;
mod exit;
mod failure;
mod interrupt;
mod model;
mod output;
mod progress;
mod replay;
mod serve;
mod sim;
mod store;
mod summary;
mod units;
mod wal;

use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches};

use args::{Cli, Command, CompletionsArgs};
use error::Error;
use exit::Exit;
use output::Output;

fn main() -> ExitCode {
    // The help is colored before the arguments are known, so that wish is looked up first.
    let grammar = Cli::command().color(help_color());
    let matches = grammar.get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let output = Output::new(cli.global.format, cli.global.color);
    // A panic here is a bug of ours; it has the exit code that the contract gives it.
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| run(&cli.command, &output)));
    let exit = match outcome {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            output.error(&error);
            Exit::Bad
        }
        Err(_) => {
            let what = "this is a bug in quorate: what it says stands above";
            output.error(&Error::with_remedy(what, "please report it with the command line"));
            Exit::Bad
        }
    };
    match output.close() {
        Ok(()) => exit.into(),
        Err(error) => {
            output.error(&error);
            exit.and(Exit::Bad).into()
        }
    }
}

fn run(command: &Command, output: &Output) -> Result<Exit, Error> {
    match command {
        Command::Sim(args) => sim::run(args, output),
        Command::Replay(args) => replay::run(args, output),
        Command::Shrink(args) => replay::shrink(args, output),
        Command::Check(args) => check::run(args, output),
        Command::Model(args) => model::run(args, output),
        Command::Serve(args) => serve::run(args, output),
        Command::Store(args) => store::run(args, output),
        Command::Wal(args) => wal::run(args, output),
        Command::Completions(args) => Ok(completions(args, output)),
    }
}

fn completions(args: &CompletionsArgs, output: &Output) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "quorate", &mut script);
    output.data(String::from_utf8_lossy(&script));
    Exit::Well
}

fn help_color() -> ColorChoice {
    let words: Vec<_> = env::args_os().filter_map(|word| word.into_string().ok()).collect();
    let spaced = words.windows(2).filter(|pair| pair[0] == "--color").map(|pair| pair[1].as_str());
    let joined = words.iter().filter_map(|word| word.strip_prefix("--color="));
    match spaced.chain(joined).last() {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}
