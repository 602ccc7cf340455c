//! The `parlour` program; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    match parlour::cli::run() {
        Ok(code) => code,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the last word of a program that could not do what was asked")]
            {
                eprintln!("parlour: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
