//! The allocator of the program, and the one call to it that Rust's interface does not have.
//!
//! Nothing else may be here: it is the only crate where `unsafe` is allowed.

/// The allocator.
pub use mimalloc::MiMalloc as Allocator;

// SAFETY: `void mi_collect(bool force)` of mimalloc, which the dependency links. It takes no pointer
// and may be called by any thread at any time.
unsafe extern "C" {
    safe fn mi_collect(force: bool);
}

/// Gives memory back to the system that has been free for a second.
///
/// The allocator does that by itself only while it is asked for memory. After a burst (a large page
/// was scraped, a store was down) a program that then waits would keep all of it.
pub fn give_back() {
    mi_collect(false);
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_may_be_called_whenever() {
        let held = vec![1_u8; 1 << 20];
        super::give_back();
        std::thread::scope(|scope| {
            scope.spawn(super::give_back);
        });
        drop(held);
        super::give_back();
    }
}
