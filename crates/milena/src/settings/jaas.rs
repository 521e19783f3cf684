//! Java's `sasl.jaas.config`: a login module and its options.

use std::collections::BTreeMap;

/// The options of a login module; its class says nothing that `sasl.mechanism` does not.
pub(crate) struct Jaas {
    options: BTreeMap<String, String>,
}

impl Jaas {
    /// Parses `CLASS required name="value" …;`. `None` when it has another form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches(';').trim_end();
        let (_class, rest) = text.split_once(char::is_whitespace)?;
        let (flag, mut rest) = rest.trim_start().split_once(char::is_whitespace)?;
        if !["required", "requisite", "sufficient", "optional"].contains(&flag) {
            return None;
        }
        let mut options = BTreeMap::new();
        loop {
            rest = rest.trim_start();
            if rest.is_empty() {
                return Some(Self { options });
            }
            let (name, after) = rest.split_once('=')?;
            let (value, after) = value(after.trim_start())?;
            options.insert(name.trim().to_owned(), value);
            rest = after;
        }
    }

    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

/// A value, quoted or up to the next white space, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut out = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((out, &quoted[at + 1..])),
            '\\' => out.push(characters.next()?.1),
            other => out.push(other),
        }
    }
    None
}
