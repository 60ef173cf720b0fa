//! Finds what somebody probably meant.

/// The candidate closest to `word`, if one is close enough to be worth suggesting.
///
/// Distance counts inserted, removed, replaced and swapped neighbouring characters; letter case and
/// the difference between `-` and `_` are free. At most a third of the word may differ. A candidate
/// that `word` starts or continues (`endpoint` for `endpoints_url`) is taken if nothing else fits.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    let plain = fold(word);
    if plain.is_empty() || plain.len() > LONGEST {
        return None;
    }
    let allowed = (plain.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other = fold(candidate);
        if other.is_empty() || other.len() > LONGEST {
            continue;
        }
        let mut cost = distance(&plain, &other);
        let shorter = plain.len().min(other.len());
        if cost > allowed
            && shorter >= 4
            && (other.starts_with(&plain) || plain.starts_with(&other))
        {
            cost = allowed;
        }
        if cost <= allowed && best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn fold(word: &str) -> Vec<char> {
    word.chars()
        .map(|c| if c == '-' { '_' } else { c })
        .flat_map(char::to_lowercase)
        .collect()
}

/// Optimal string alignment distance, over three rows of the usual table.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous_a = None;
    for (i, &ca) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        let mut left = i + 1;
        row.push(left);
        let mut previous_b = None;
        for (j, &cb) in b.iter().enumerate() {
            let up = last.get(j + 1).copied().unwrap_or(usize::MAX - 1);
            let diagonal = last.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut cost = (up + 1).min(left + 1).min(diagonal + usize::from(ca != cb));
            if previous_a == Some(cb) && previous_b == Some(ca) {
                let swapped = j.checked_sub(1).and_then(|k| before.get(k));
                cost = cost.min(swapped.map_or(cost, |base| base + 1));
            }
            row.push(cost);
            left = cost;
            previous_b = Some(cb);
        }
        previous_a = Some(ca);
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_was_meant() {
        let keys = [
            "metric_name_selectors",
            "dimensions",
            "endpoint",
            "region",
            "tls",
        ];
        for (word, wanted) in [
            ("metric_name_selector", Some("metric_name_selectors")),
            ("dimension", Some("dimensions")),
            ("Endpoint", Some("endpoint")),
            ("endpiont", Some("endpoint")),
            ("regoin", Some("region")),
            ("endpoint_url", Some("endpoint")),
            ("tsl", Some("tls")),
            ("metric-name-selectors", Some("metric_name_selectors")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), wanted, "{word}");
        }
    }

    #[test]
    fn takes_the_closest_of_several() {
        assert_eq!(
            nearest("otlp_htp", ["otlp", "otlp_grpc", "otlp_http"]),
            Some("otlp_http")
        );
    }
}
