//! What do a table, a drawn table, JSON, CSV and Erlang terms look like? As rabbitmqctl's, byte by
//! byte.

use std::io::{self, Write};

use serde_json::Value;

use super::cell::Cell;
use super::term::Term;
use super::width::{safe, width};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formatter {
    /// Columns separated by tabs.
    Table,
    /// Columns in a drawing.
    PrettyTable,
    /// An array of objects.
    Json,
    /// Columns in quotes, separated by commas.
    Csv,
    /// A list of lists of pairs, as Erlang reads it.
    Erlang,
}

/// Rows to print.
pub struct Sheet<'a> {
    /// The names of the columns.
    pub names: &'a [&'a str],
    /// What is in them.
    pub rows: &'a [Vec<Cell>],
    /// Whether a table begins with the names.
    pub headers: bool,
    /// Whether it is one of the lists that print nothing at all when there is nothing; the others
    /// print an empty line.
    pub stream: bool,
    /// Whether it goes to a terminal, which characters in names could tell what to do.
    pub terminal: bool,
}

impl Formatter {
    /// Whether a program reads the result: then nothing else is printed.
    pub fn is_for_programs(self) -> bool {
        matches!(self, Formatter::Json | Formatter::Csv)
    }
}

impl Sheet<'_> {
    /// Prints it.
    ///
    /// # Errors
    /// `out` fails.
    pub fn print(&self, formatter: Formatter, out: &mut dyn Write) -> io::Result<()> {
        match (formatter, self.rows.is_empty()) {
            (Formatter::Json, true) if self.stream => out.write_all(b"[\n]\n"),
            (Formatter::Json, true) => out.write_all(b"[]\n"),
            (Formatter::Json, false) => self.json(out),
            (Formatter::Erlang, _) => self.erlang(out),
            (Formatter::Table | Formatter::PrettyTable, true) if !self.stream => {
                out.write_all(b"\n")
            }
            (_, true) => Ok(()),
            (Formatter::Table, false) => self.table(out),
            (Formatter::PrettyTable, false) => self.drawing(out),
            (Formatter::Csv, false) => self.csv(out),
        }
    }

    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.headers {
            writeln!(out, "{}", self.names.join("\t"))?;
        }
        for row in self.rows {
            let texts: Vec<String> = row.iter().map(|cell| self.text(cell)).collect();
            writeln!(out, "{}", texts.join("\t"))?;
        }
        Ok(())
    }

    fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut before = "[\n";
        for row in self.rows {
            let pairs = self.names.iter().zip(row);
            let pairs = pairs.map(|(name, cell)| format!("{}:{}", Value::from(*name), cell.json()));
            writeln!(out, "{before}{{{}}}", pairs.collect::<Vec<_>>().join(","))?;
            before = ",";
        }
        out.write_all(b"]\n")
    }

    fn erlang(&self, out: &mut dyn Write) -> io::Result<()> {
        let pair =
            |(name, cell): (&&str, &Cell)| Term::Tuple(vec![Term::atom(name), cell.erlang()]);
        let row = |row: &Vec<Cell>| Term::List(self.names.iter().zip(row).map(pair).collect());
        writeln!(out, "{}", Term::List(self.rows.iter().map(row).collect()).pretty())
    }

    fn csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let quoted = |text: String| format!("\"{}\"", text.replace('"', "\"\""));
        let names: Vec<String> = self.names.iter().map(|n| quoted((*n).to_owned())).collect();
        writeln!(out, "{}", names.join(","))?;
        for row in self.rows {
            let texts: Vec<String> = row.iter().map(|cell| quoted(cell.text())).collect();
            writeln!(out, "{}", texts.join(","))?;
        }
        Ok(())
    }

    /// A drawing in the line characters of a VT100, which is what rabbitmqctl draws with.
    fn drawing(&self, out: &mut dyn Write) -> io::Result<()> {
        let texts: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(|cell| self.text(cell)).collect()).collect();
        let widest = |index: usize| {
            let cells = texts.iter().filter_map(|row| row.get(index));
            let widest = cells.map(|text| width(text)).max().unwrap_or(0);
            widest.max(width(self.names[index]))
        };
        let widths: Vec<usize> = (0..self.names.len()).map(widest).collect();
        let rule = |ends: [char; 3]| {
            let lines: Vec<String> = widths.iter().map(|width| "q".repeat(width + 2)).collect();
            let [left, between, right] = ends;
            let line = lines.join(&between.to_string());
            format!("{DRAW}{left}{line}{right}{WRITE}\n")
        };
        out.write_all(rule(['l', 'w', 'k']).as_bytes())?;
        let bar = format!("{DRAW}x{WRITE}");
        out.write_all(bar.as_bytes())?;
        for (name, column) in self.names.iter().zip(&widths) {
            let pad = " ".repeat(column - width(name));
            write!(out, " {BOLD}{name}{NORMAL}{pad} {bar}")?;
        }
        out.write_all(b"\n")?;
        for row in &texts {
            out.write_all(rule(['t', 'n', 'u']).as_bytes())?;
            out.write_all(bar.as_bytes())?;
            for (text, column) in row.iter().zip(&widths) {
                let pad = " ".repeat(column - width(text));
                write!(out, " {text}{pad} {bar}")?;
            }
            out.write_all(b"\n")?;
        }
        out.write_all(rule(['m', 'v', 'j']).as_bytes())
    }

    fn text(&self, cell: &Cell) -> String {
        let text = cell.text();
        if self.terminal { safe(&text) } else { text }
    }
}

const DRAW: &str = "\x1b(0";
const WRITE: &str = "\x1b(B";
const BOLD: &str = "\x1b[1m";
const NORMAL: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(formatter: Formatter, sheet: &Sheet<'_>) -> String {
        let mut out = Vec::new();
        sheet.print(formatter, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec![Cell::from("u1"), Cell::Plain(json!(["a", "b"]))],
            vec![Cell::from("gu\"est\u{1b}\t"), Cell::Plain(json!(null))],
        ]
    }

    fn sheet(rows: &[Vec<Cell>]) -> Sheet<'_> {
        let names = &["user", "tags"];
        Sheet { names, rows, headers: true, stream: false, terminal: false }
    }

    #[test]
    fn tables() {
        let rows = rows();
        let table = printed(Formatter::Table, &sheet(&rows));
        assert_eq!(table, "user\ttags\nu1\t[a, b]\ngu\"est\u{1b}\t\t\n");
        let bare = Sheet { headers: false, ..sheet(&rows) };
        assert_eq!(printed(Formatter::Table, &bare), "u1\t[a, b]\ngu\"est\u{1b}\t\t\n");
    }

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        let rows = rows();
        let shown = Sheet { terminal: true, ..sheet(&rows) };
        let table = printed(Formatter::Table, &shown);
        assert_eq!(table, "user\ttags\nu1\t[a, b]\ngu\"est\\u{1b}\\t\t\n");
    }

    #[test]
    fn json_has_a_row_a_line() {
        let rows = rows();
        let text = printed(Formatter::Json, &sheet(&rows));
        let expected = "[\n{\"user\":\"u1\",\"tags\":[\"a\",\"b\"]}\n\
                        ,{\"user\":\"gu\\\"est\\u001b\\t\",\"tags\":\"\"}\n]\n";
        assert_eq!(text, expected);
        assert!(serde_json::from_str::<Value>(&text).unwrap().is_array());
    }

    #[test]
    fn csv_quotes_everything() {
        let rows = rows();
        let text = printed(Formatter::Csv, &sheet(&rows));
        let expected = "\"user\",\"tags\"\n\"u1\",\"[a, b]\"\n\"gu\"\"est\u{1b}\t\",\"\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn drawings_line_up() {
        let rows = vec![vec![Cell::from("é"), Cell::from("")]];
        let expected = "\
            \x1b(0lqqqqqqwqqqqqqk\x1b(B\n\
            \x1b(0x\x1b(B \x1b[1muser\x1b[0m \x1b(0x\x1b(B \x1b[1mtags\x1b[0m \x1b(0x\x1b(B\n\
            \x1b(0tqqqqqqnqqqqqqu\x1b(B\n\
            \x1b(0x\x1b(B é    \x1b(0x\x1b(B      \x1b(0x\x1b(B\n\
            \x1b(0mqqqqqqvqqqqqqj\x1b(B\n";
        assert_eq!(printed(Formatter::PrettyTable, &sheet(&rows)), expected);
    }

    #[test]
    fn nothing_is_printed_as_nothing() {
        for (formatter, listed, streamed) in [
            (Formatter::Table, "\n", ""),
            (Formatter::PrettyTable, "\n", ""),
            (Formatter::Json, "[]\n", "[\n]\n"),
            (Formatter::Csv, "", ""),
            (Formatter::Erlang, "[]\n", "[]\n"),
        ] {
            assert_eq!(printed(formatter, &sheet(&[])), listed);
            assert_eq!(printed(formatter, &Sheet { stream: true, ..sheet(&[]) }), streamed);
        }
    }
}
