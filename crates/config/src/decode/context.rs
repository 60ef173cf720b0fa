//! What one decoding run remembers.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::Arc;

use super::DecodeOptions;
use super::failure::Failure;
use crate::diagnostic::Diagnostic;
use crate::node::Node;
use crate::source::Span;

/// Names a node for the length of a run; the tree does not move meanwhile.
pub(super) fn address(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}

/// What a run came upon.
pub(super) struct Found {
    pub(super) diagnostics: Vec<Diagnostic>,
    secrets: Vec<Span>,
}

impl Found {
    /// The findings, without the text of lines that hold a secret.
    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        let Self {
            mut diagnostics,
            secrets,
        } = self;
        for span in diagnostics.iter_mut().filter_map(|d| d.span.as_mut()) {
            let holds = |secret: &Span| {
                let breaks = secret.text().trim_end().matches('\n').count();
                let lines = u32::try_from(breaks).unwrap_or(u32::MAX);
                let last = secret.line.saturating_add(lines);
                Arc::ptr_eq(&secret.source, &span.source)
                    && (secret.line..=last).contains(&span.line)
            };
            if secrets.iter().any(holds) {
                *span = span.without_text();
            }
        }
        diagnostics
    }
}

pub(super) struct Context {
    /// Inside a part whose strings are loose.
    pub(super) loose: Cell<bool>,
    found: RefCell<Vec<Diagnostic>>,
    reported: RefCell<HashSet<usize>>,
    left_out: RefCell<HashSet<usize>>,
    /// Places of values that a type keeps secret.
    secrets: RefCell<Vec<Span>>,
}

impl Context {
    pub(super) fn new(options: DecodeOptions) -> Self {
        Self {
            loose: Cell::new(options.loose_strings),
            found: RefCell::default(),
            reported: RefCell::default(),
            left_out: RefCell::default(),
            secrets: RefCell::default(),
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

    /// Remembers where a secret stands, so that no finding shows its line.
    pub(super) fn add_secret(&self, span: &Span) {
        self.secrets.borrow_mut().push(span.clone());
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
    pub(super) fn into_found(self) -> Found {
        let mut found = self.found.into_inner();
        found.sort_by_key(|d| d.span.as_ref().map_or(u32::MAX, |span| span.start));
        Found {
            diagnostics: found,
            secrets: self.secrets.into_inner(),
        }
    }
}
