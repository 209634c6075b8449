//! The daemon `leveret`: options, configuration, run. The one place that prints an error.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use leveret::daemon::{Config, ConfigError, Environment, Invocation, UsageError};
use leveret::daemon::{logging, self_test, server};
use leveret::net::Clock;
use leveret::sys::CountedAllocator;

#[global_allocator]
static ALLOCATOR: CountedAllocator = CountedAllocator;

fn main() -> ExitCode {
    let (options, is_check, tested) = match Invocation::parse(env::args_os().skip(1)) {
        Ok(Invocation::Run(options)) => (options, false, None),
        Ok(Invocation::Check(options)) => (options, true, None),
        Ok(Invocation::SelfTest(directory, options)) => (options, false, Some(directory)),
        Ok(Invocation::Help(text) | Invocation::Version(text)) => return print(&text),
        Err(error) => return fail(&error, UsageError::EXIT_CODE),
    };
    let load = || Config::load(&options, &Environment::read());
    let config = match load() {
        Ok(config) => config,
        Err(error) => return fail(&error, ConfigError::EXIT_CODE),
    };
    if is_check {
        if let Err(error) = config.tls.check(Clock::start().unix_ms()) {
            return fail(&error, ConfigError::EXIT_CODE);
        }
        let warnings = config.warnings.iter().map(|warning| format!("{warning}\n"));
        return print(&(warnings.collect::<String>() + "the configuration is good"));
    }
    if let Some(directory) = tested {
        return match self_test::run(&directory, &config) {
            Ok(report) if report.is_good() => print(&report.text()),
            Ok(report) => {
                print(&report.text());
                ExitCode::FAILURE
            }
            Err(error) => fail(&error, self_test::EXIT_CODE),
        };
    }
    logging::start(config.log_level);
    match server::run(&config, &load) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit_code()),
    }
}

fn print(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(error: &dyn std::error::Error, exit_code: u8) -> ExitCode {
    // There is nobody left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "leveret: {error}");
    ExitCode::from(exit_code)
}
