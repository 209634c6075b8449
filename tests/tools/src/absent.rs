//! Which fields of an answer have no value?
//!
//! The types of the client are private in many ways but can all be printed: a field without a
//! value is printed as `name: None`, inside of its type.

/// Fields that this broker leaves out, as `Type.field`.
pub const MAY_BE: &[&str] = &[
];

/// The fields that are `None` in what `{:#?}` prints.
pub fn fields(printed: &str) -> Vec<String> {
    let mut types: Vec<(usize, &str)> = Vec::new();
    let mut found = Vec::new();
    for line in printed.lines() {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        types.retain(|(outer, _)| *outer < depth);
        if let Some(opened) = text.strip_suffix('{').map(str::trim_end) {
            let name = opened.rsplit(' ').next().unwrap_or(opened);
            types.push((depth, name));
        } else if let Some(field) = text.strip_suffix(": None,") {
            let (_, name) = types.last().copied().unwrap_or_default();
            found.push(format!("{name}.{field}"));
        }
    }
    found
}
