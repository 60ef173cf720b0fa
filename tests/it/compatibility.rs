//! `docs/compatibility.md` keeps its promise: no row of a finished family is missing, and each row names a test or a golden case
//! that exists, or says what differs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Families whose table is complete: prefix of the row, number of rows. Of the processors, those of
/// `k8sattributes` and `resourcedetection`.
const COMPLETE: &[(&str, usize)] = &[
    ("AWS", 42),
    ("EMF", 63),
    ("XR", 57),
    ("PROM", 76),
    ("PRW", 54),
    ("RWS", 39),
    ("PROC", 33),
];

/// Every test function and every golden case folder of the tree.
#[derive(Default)]
struct Evidence {
    tests: BTreeSet<String>,
    cases: BTreeSet<String>,
}

impl Evidence {
    fn of_tree(root: &Path) -> Self {
        let mut found = Self::default();
        for family in [
            "src",
            "receivers",
            "processors",
            "exporters",
            "extensions",
            "crates",
            "tests",
        ] {
            found.folder(&root.join(family), false);
        }
        found
    }

    fn folder(&mut self, folder: &Path, golden: bool) {
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if golden {
                    self.cases.insert(name.clone());
                }
                self.folder(&path, golden || name == "testdata");
            } else if name.ends_with(".rs") {
                self.source(&fs::read_to_string(&path).unwrap());
            } else if golden {
                self.cases
                    .insert(name.split('.').next().unwrap_or_default().to_owned());
            }
        }
    }

    fn source(&mut self, text: &str) {
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]")
                || line.starts_with("#[tokio::test")
                || line == "proptest! {"
            {
                marked = true;
            }
            let named = line.trim_start_matches("async ").strip_prefix("fn ");
            if let Some(name) = named.filter(|_| marked) {
                self.tests
                    .insert(name.split(['(', '<']).next().unwrap_or_default().to_owned());
                marked = false;
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        match name.split_once('/') {
            Some((_, case)) => self.cases.contains(case),
            None => self.tests.contains(name),
        }
    }
}

/// Rows of the tables: identifier, what it is about, what covers it.
fn rows(page: &str) -> Vec<(String, String, String)> {
    page.lines()
        .filter_map(|line| {
            let mut cells = line
                .strip_prefix("| ")?
                .trim_end()
                .strip_suffix('|')?
                .splitn(3, " | ");
            let row = cells.next()?.trim().to_owned();
            let (family, number) = row.split_once('-')?;
            (family.bytes().all(|byte| byte.is_ascii_uppercase())
                && number.bytes().all(|byte| byte.is_ascii_digit()))
            .then_some(())?;
            Some((
                row,
                cells.next()?.trim().to_owned(),
                cells.next()?.trim().to_owned(),
            ))
        })
        .collect()
}

#[test]
fn every_row_names_a_test_that_exists_or_says_what_differs() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/compatibility.md")).unwrap();
    let evidence = Evidence::of_tree(&root);
    let rows = rows(&page);
    let mut wrong = Vec::new();
    for (row, about, covered) in &rows {
        let names = covered.split('`').skip(1).step_by(2).collect::<Vec<_>>();
        let differs = covered
            .split_once("differs:")
            .is_some_and(|(_, text)| text.trim().len() > 10);
        if about.is_empty() || (names.is_empty() && !differs) {
            wrong.push(format!("{row}: nothing covers it"));
        }
        wrong.extend(
            names
                .iter()
                .filter(|name| !evidence.has(name))
                .map(|name| format!("{row}: no test or golden case is called {name}")),
        );
    }
    for (family, count) in COMPLETE {
        let missing = (1..=*count)
            .map(|number| format!("{family}-{number:02}"))
            .filter(|id| !rows.iter().any(|(row, ..)| row == id));
        wrong.extend(missing.map(|id| format!("{id} is missing")));
    }
    let mut seen = BTreeSet::new();
    wrong.extend(
        rows.iter()
            .filter(|(row, ..)| !seen.insert(row))
            .map(|(row, ..)| format!("{row} stands twice")),
    );
    assert!(
        wrong.is_empty(),
        "docs/compatibility.md:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn names_without_a_test_are_found() {
    let mut evidence = Evidence::default();
    evidence.source("#[test]\nfn one() {}\nfn helper() {}\n#[tokio::test(start_paused = true)]\nasync fn two() {}\n");
    assert!(evidence.has("one") && evidence.has("two"));
    assert!(!evidence.has("helper") && !evidence.has("emf/000-nothing"));
    let table = "| EMF-01 | keys | `one` |\n| what | is | this |\n| XR-02 | times | differs: kept as they are |";
    assert_eq!(rows(table).len(), 2);
}
