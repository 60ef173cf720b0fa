//! The program: arguments, one subcommand, exit code.

use std::process::ExitCode;

use weir::cli::{Command, Invocation};
use weir::{inspect, run, scrape};

#[global_allocator]
static ALLOCATOR: weir_allocator::Allocator = weir_allocator::Allocator;

fn main() -> ExitCode {
    if let Some(code) = weir::backtest::command(std::env::args_os()) {
        return ExitCode::from(code);
    }
    if let Some(code) = weir::state::command(std::env::args_os()) {
        return ExitCode::from(code);
    }
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(code) = scrape::run(&arguments) {
        return ExitCode::from(code);
    }
    let invocation = match Invocation::parse(arguments) {
        Ok(invocation) => invocation,
        Err(exit) => {
            if exit.is_success() {
                inspect::print(&exit.text);
            } else {
                run::say(exit.text.trim_end());
            }
            return ExitCode::from(exit.code);
        }
    };
    let code = match run::Options::new(&invocation) {
        Err(reason) => {
            run::say(&format!("error: {reason}"));
            run::EXIT_FAILURE
        }
        Ok(options) => match invocation.command {
            Command::Run => run::run(&options),
            Command::Validate => run::validate(&options),
            Command::Components => inspect::components(),
            Command::PrintConfig(format, mode) => inspect::print_config(&options, format, mode),
            Command::Demo => weir::demo::run(),
        },
    };
    ExitCode::from(code)
}
