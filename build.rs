//! Link options that Cargo.toml has no place for.
#![allow(
    clippy::disallowed_methods,
    reason = "Cargo speaks to build scripts through the environment"
)]

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    // The toolchain links this target with LLD, which can fold functions that became the same code: generics over
    // body, stream and executor types make many of those. Less code is less resident memory.
    if var("TARGET") == "x86_64-unknown-linux-gnu" && var("PROFILE") == "release" {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
