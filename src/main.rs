//! The program `credits`: hands its arguments to [`credits::cli`] and ends as that says.
#![forbid(unsafe_code)]

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    credits::cli::main()
}
