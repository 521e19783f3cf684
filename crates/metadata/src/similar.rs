//! Names that may have been meant: for the message about an unknown topic.

use milena_codec::Str;

const MOST: usize = 3;
/// Kafka's limit for topic names; nothing longer is compared.
const LONGEST: usize = 249;

/// The names closest to `wanted`, at most three, none that differ in more than a third of it.
pub(crate) fn closest<'a>(wanted: &str, known: impl Iterator<Item = &'a Str>) -> Vec<Str> {
    if wanted.len() > LONGEST {
        return Vec::new();
    }
    let limit = (wanted.chars().count() / 3).clamp(1, 4);
    let mut found: Vec<(usize, &Str)> = known
        .filter(|name| **name != *wanted && name.len().abs_diff(wanted.len()) <= limit)
        .map(|name| (distance(wanted, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    found.sort();
    found.truncate(MOST);
    found.into_iter().map(|(_, name)| name.clone()).collect()
}

/// How many characters have to be put in, left out or replaced, upper and lower case being equal.
fn distance(one: &str, other: &str) -> usize {
    let fold = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    let (one, other) = (fold(one), fold(other));
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests;
