//! Each component has a page, and the page has the defaults that the program has.
//!
//! The block between `<!-- defaults -->` and `<!-- /defaults -->` of a page is made from the configuration's
//! type: `UPDATE_PAGES=1 cargo test --test it pages` writes it anew. It must not differ from what is committed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use weir::components::REGISTRY;

const START: &str = "<!-- defaults -->\n";
const END: &str = "<!-- /defaults -->\n";

/// A component as its page needs it.
struct Component {
    section: &'static str,
    names: Vec<&'static str>,
    defaults: Json,
}

fn components() -> Vec<Component> {
    let mut all = Vec::new();
    macro_rules! family {
        ($section:literal, $table:expr) => {
            all.extend($table.iter().map(|entry| {
                Component {
                    section: $section,
                    names: std::iter::once(entry.name)
                        .chain(entry.aliases.iter().copied())
                        .collect(),
                    defaults: (entry.defaults)(),
                }
            }));
        };
    }
    family!("receivers", REGISTRY.receivers);
    family!("processors", REGISTRY.processors);
    family!("exporters", REGISTRY.exporters);
    family!("extensions", REGISTRY.extensions);
    all
}

impl Component {
    /// The page: in the folder that has one of the component's names.
    fn page(&self) -> PathBuf {
        let family = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.section);
        let folder = self
            .names
            .iter()
            .map(|name| family.join(name))
            .find(|folder| folder.is_dir());
        folder
            .unwrap_or_else(|| panic!("{}: no folder named {:?}", self.section, self.names))
            .join("README.md")
    }

    /// The block as it must stand in the page.
    fn block(&self) -> String {
        let mut text = format!("{START}```yaml\n");
        for line in serde_yaml::to_string(&self.defaults).unwrap().lines() {
            writeln!(text, "{line}").unwrap();
        }
        text.push_str("```\n");
        text.push_str(END);
        text
    }
}

#[test]
fn each_component_has_a_page_with_its_keys_and_defaults() {
    let update = std::env::var_os("UPDATE_PAGES").is_some();
    let mut wrong = Vec::new();
    for component in components() {
        let path = component.page();
        let Ok(page) = fs::read_to_string(&path) else {
            wrong.push(format!("{}: there is no page", path.display()));
            continue;
        };
        let block = component.block();
        let found = page
            .find(START)
            .zip(page.find(END))
            .map(|(start, end)| start..end + END.len());
        match found {
            Some(place) if page.get(place.clone()) == Some(&block) => {}
            Some(place) if update => {
                let mut page = page.clone();
                page.replace_range(place, &block);
                fs::write(&path, page).unwrap();
            }
            None if update => {
                let heading = "## Defaults\n\nThe configuration of an instance for which nothing is written:\n\n";
                fs::write(&path, format!("{}\n\n{heading}{block}", page.trim_end())).unwrap();
            }
            _ => wrong.push(format!(
                "{}: the defaults are not those of the program (UPDATE_PAGES=1)",
                path.display()
            )),
        }
        for key in component
            .defaults
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
        {
            let text = page.split(START).next().unwrap_or(&page);
            if !text.contains(key.as_str()) {
                wrong.push(format!(
                    "{}: the key `{key}` is not explained",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
