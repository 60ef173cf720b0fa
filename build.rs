//! Link options that Cargo.toml has no place for.
#![allow(
    clippy::disallowed_methods,
    reason = "Cargo speaks to build scripts through the environment"
)]

/// Names of functions in the order in which they are to lie in the program; `make order` writes it.
const ORDER: &str = "benches/order.txt";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={ORDER}");
    println!("cargo:rerun-if-env-changed=WEIR_SYMBOLS");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let link = |option: &str| println!("cargo:rustc-link-arg-bins=-Wl,{option}");
    if var("PROFILE") != "release" || var("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    // Not by `strip` of the profile: that goes into the names, and `make order` has to see those of this profile.
    if var("DEBUG") == "false" && var("WEIR_SYMBOLS").is_empty() {
        link("--strip-all");
    }
    // The toolchain links this target with LLD, GNU's linker knows none of these.
    if var("TARGET") == "x86_64-unknown-linux-gnu" {
        // Folds functions that became the same code: generics over body, stream and executor types make many of
        // those. Less code is less resident memory.
        link("--icf=all");
        // What runs lies together: the kernel maps code in pieces of 64 KiB, and most of the program is not for the
        // configuration at hand. Names that are no more do no harm.
        let folder = var("CARGO_MANIFEST_DIR");
        link(&format!("--symbol-ordering-file={folder}/{ORDER}"));
        link("--no-warn-symbol-ordering");
    }
}
