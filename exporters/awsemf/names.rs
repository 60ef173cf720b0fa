//! Namespace, log group and log stream of a resource (spec 5 and 6, EMF-09..14).

use std::borrow::Cow;

use weir_model::Attributes;

use super::encode::label_text;
use crate::cloudwatch_logs::template::{self, Placeholder};

pub(crate) use crate::cloudwatch_logs::template::{Filled, UNDEFINED};

/// Placeholders and the attribute that stands in for one of the same name.
const PLACEHOLDERS: [Placeholder; 7] = [
    ("ClusterName", "aws.ecs.cluster.name"),
    ("TaskId", "aws.ecs.task.id"),
    ("NodeName", "k8s.node.name"),
    ("PodName", "pod"),
    ("ServiceName", "service.name"),
    ("ContainerInstanceId", "aws.ecs.container.instance.id"),
    ("TaskDefinitionFamily", "aws.ecs.task.family"),
];

/// The namespace of a resource when the configuration names none.
pub(crate) fn namespace(resource: &Attributes) -> String {
    let text = |key| resource.get(key).and_then(|value| value.as_str());
    match (text("service.namespace"), text("service.name")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (Some(text), None) | (None, Some(text)) if !text.is_empty() => text.to_owned(),
        _ => "default".to_owned(),
    }
}

/// Fills the placeholders of a template (spec 6.1, EMF-11).
pub(crate) fn fill<'a>(template: &str, value: impl Fn(&str) -> Option<Cow<'a, str>>) -> Filled {
    template::fill(template, &PLACEHOLDERS, value)
}

/// Fills a template from resource attributes of any type.
pub(crate) fn fill_from_resource(template: &str, resource: &Attributes) -> Filled {
    fill(template, |key| resource.get(key).map(label_text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_model::Value;

    fn attributes(pairs: &[(&str, Value)]) -> Attributes {
        pairs.iter().cloned().collect()
    }

    #[test]
    fn the_namespace_comes_from_text_attributes() {
        let (ns, name) = ("service.namespace", "service.name");
        for (pairs, expected) in [
            (vec![(ns, "shop".into()), (name, "web".into())], "shop/web"),
            (vec![(name, "web".into())], "web"),
            (vec![(ns, "shop".into())], "shop"),
            (vec![], "default"),
            (vec![(name, "".into())], "default"),
            (vec![(name, "".into()), (ns, "".into())], "/"),
            (vec![(name, Value::Int(77))], "default"),
        ] {
            assert_eq!(namespace(&attributes(&pairs)), expected);
        }
    }

    #[test]
    fn placeholders_take_their_attribute_then_its_alias() {
        let resource = attributes(&[
            ("ClusterName", "c1".into()),
            ("aws.ecs.cluster.name", "c2".into()),
            ("aws.ecs.task.id", Value::Int(7)),
            ("PodName", "".into()),
            ("pod", "p".into()),
        ]);
        let filled = |template| fill_from_resource(template, &resource);
        let complete = |text: &str| Filled {
            text: text.to_owned(),
            complete: true,
        };
        assert_eq!(
            filled("/x/{ClusterName}/{TaskId}{ClusterName}"),
            complete("/x/c1/7c1")
        );
        assert_eq!(filled("{Foo}/{{TaskId}}/{"), complete("{Foo}/{7}/{"));
        assert_eq!(
            filled("{PodName}/{NodeName}"),
            Filled {
                text: "undefined/undefined".to_owned(),
                complete: false
            }
        );
        for (name, alias) in PLACEHOLDERS {
            let resource = attributes(&[(alias, "v".into())]);
            assert_eq!(
                fill_from_resource(&format!("{{{name}}}"), &resource),
                complete("v")
            );
        }
    }
}
