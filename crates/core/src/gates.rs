//! Feature gates of the reference, as far as they were switched on the command line.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The gates that were switched. A component asks with the default of the reference, which depends
/// on the stage of the gate (alpha off, beta on). Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates(Arc<BTreeMap<String, bool>>);

impl Gates {
    /// Whether a gate is on.
    pub fn is_on(&self, name: &str, default: bool) -> bool {
        self.0.get(name).copied().unwrap_or(default)
    }
}

impl<N: Into<String>> FromIterator<(N, bool)> for Gates {
    fn from_iter<T: IntoIterator<Item = (N, bool)>>(switches: T) -> Self {
        let switches = switches.into_iter().map(|(name, on)| (name.into(), on));
        Self(Arc::new(switches.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_has_its_default_until_it_is_switched() {
        let gates: Gates = [("a", false), ("b", true)].into_iter().collect();
        assert!(!gates.is_on("a", true) && gates.is_on("b", false));
        assert!(gates.is_on("c", true) && !gates.is_on("c", false));
    }
}
