//! How much room does a text take on a terminal, and what of it may a terminal be told?

use unicode_width::UnicodeWidthChar;

/// `text` with everything shown that would tell a terminal what to do, hide or turn letters
/// around: names are somebody else's choice.
pub fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_hidden(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// The columns that `text` takes.
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// `text` in exactly `columns` columns: filled up with spaces on the right, or cut with a mark.
pub fn fit(text: &str, columns_max: usize) -> String {
    let full = width(text);
    if full <= columns_max {
        return format!("{text}{}", " ".repeat(columns_max - full));
    }
    let mut fitted = String::new();
    let mut taken = 0;
    for character in text.chars() {
        // One column is for the mark.
        if taken + columns(character) + 1 > columns_max {
            break;
        }
        taken += columns(character);
        fitted.push(character);
    }
    if columns_max > 0 {
        fitted.push('…');
        taken += 1;
    }
    fitted.push_str(&" ".repeat(columns_max - taken));
    fitted
}

fn columns(character: char) -> usize {
    character.width().unwrap_or(0)
}

/// Marks that change how what follows is shown, without a place of their own.
fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(safe("a\u{1b}[2Jb\r\n\u{9b}x"), "a\\u{1b}[2Jb\\r\\n\\u{9b}x");
        assert_eq!(safe("a\u{202e}b\u{200d}"), "a\\u{202e}b\\u{200d}");
        assert_eq!(safe("Grüße 日本 🐇"), "Grüße 日本 🐇");
    }

    #[test]
    fn a_text_takes_exactly_the_room_that_it_is_given() {
        for text in ["", "a", "orders", "日本語のキュー", "🐇🐇🐇", "e\u{301}e\u{301}", "a日b本c"]
        {
            for columns in 0..20 {
                assert_eq!(width(&fit(text, columns)), columns, "{text} in {columns}");
            }
        }
        assert_eq!(fit("orders", 4), "ord…");
        assert_eq!(fit("日本語", 4), "日… ");
        assert_eq!(fit("orders", 8), "orders  ");
    }
}
