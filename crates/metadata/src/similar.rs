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

/// [`edit_distance`], upper and lower case being equal.
fn distance(one: &str, other: &str) -> usize {
    edit_distance(&one.to_lowercase(), &other.to_lowercase())
}

/// How many characters have to be put in, left out or replaced to make `other` of `one`: for
/// messages that suggest a name. Takes time in proportion to the product of their lengths.
pub fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests;
