//! What one decoding run remembers.

use std::cell::RefCell;
use std::collections::HashSet;

use super::DecodeOptions;
use super::failure::Failure;
use crate::diagnostic::Diagnostic;
use crate::node::Node;

/// Names a node for the length of a run; the tree does not move meanwhile.
pub(super) fn address(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}

pub(super) struct Context {
    pub(super) options: DecodeOptions,
    found: RefCell<Vec<Diagnostic>>,
    reported: RefCell<HashSet<usize>>,
    left_out: RefCell<HashSet<usize>>,
}

impl Context {
    pub(super) fn new(options: DecodeOptions) -> Self {
        Self {
            options,
            found: RefCell::default(),
            reported: RefCell::default(),
            left_out: RefCell::default(),
        }
    }

    /// Keeps a finding about the node at `address`, once however often the run is repeated.
    pub(super) fn report(&self, address: usize, finding: impl FnOnce() -> Diagnostic) -> bool {
        let new = self.reported.borrow_mut().insert(address);
        if new {
            self.found.borrow_mut().push(finding());
        }
        new
    }

    /// Keeps an error, unless it only follows from an earlier one: a required key is missing
    /// because its value was left out.
    pub(super) fn report_failure(&self, failure: &Failure) -> bool {
        if failure.is_consequence() {
            return false;
        }
        self.report(failure.address(), || failure.diagnostic())
    }

    /// Marks a node to be left out; `false` if it was marked before.
    pub(super) fn leave_out(&self, address: usize) -> bool {
        self.left_out.borrow_mut().insert(address)
    }

    pub(super) fn is_left_out(&self, node: &Node) -> bool {
        self.left_out.borrow().contains(&address(node))
    }

    /// Was something other than a null left out or reported at this node?
    pub(super) fn is_reported(&self, node: &Node) -> bool {
        self.reported.borrow().contains(&address(node))
    }

    /// Everything found, in the order of the source.
    pub(super) fn into_found(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|d| d.span.as_ref().map_or(u32::MAX, |span| span.start));
        found
    }
}
