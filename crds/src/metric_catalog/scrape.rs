//! What a scrape found, in the catalog's terms: for tests that hold a running program against the catalog.

use std::collections::{BTreeMap, BTreeSet};

use super::Metric;

/// By name, the type and the labels of each metric.
pub type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// What the catalog promises.
pub fn promised<'a>(metrics: impl IntoIterator<Item = &'a &'a Metric>) -> Families {
    metrics
        .into_iter()
        .map(|metric| {
            let labels = metric.labels.iter().map(ToString::to_string).collect();
            let kind = metric.kind.label().to_owned();
            (metric.name.to_owned(), (kind, labels))
        })
        .collect()
}

/// What stands in an exposition in OpenMetrics text. Buckets' own label is left out; label values must hold neither
/// commas nor braces.
pub fn found(text: &str) -> Families {
    let mut families = Families::new();
    let mut current = String::new();
    for line in text.lines() {
        let typed = line.strip_prefix("# TYPE ");
        if let Some((name, kind)) = typed.and_then(|typed| typed.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            current = format!("{name}{suffix}");
            kind.clone_into(&mut families.entry(current.clone()).or_default().0);
        } else if !line.starts_with('#')
            && let Some((_, rest)) = line.split_once('{')
            && let Some((labels, _)) = rest.split_once('}')
        {
            let names = labels.split(',').filter_map(|label| label.split_once('='));
            let names = names.map(|(name, _)| name.to_owned());
            let family = families.entry(current.clone()).or_default();
            family.1.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exposition_is_read_as_the_catalog_writes_it() {
        let text = "# HELP a_b Help.\n# TYPE a_b counter\na_b_total{x=\"1\",y=\"2\"} 3\n# TYPE c gauge\nc 4\n\
                    # TYPE d histogram\nd_bucket{le=\"1\",z=\"1\"} 1\n# EOF\n";
        let family = |kind: &str, labels: &[&str]| {
            let labels = labels.iter().map(ToString::to_string).collect();
            (kind.to_owned(), labels)
        };
        let expected = [
            ("a_b_total", family("counter", &["x", "y"])),
            ("c", family("gauge", &[])),
            ("d", family("histogram", &["z"])),
        ];
        assert_eq!(
            found(text),
            expected
                .map(|(name, family)| (name.to_owned(), family))
                .into()
        );
    }
}
