//! What a verb shows: tables for people, JSON for programs.
//!
//! A reader that has enough (`| head`) is no error. Cells of a table never carry control characters, since what is
//! shown came from other people's messages and goes to somebody's terminal.

use std::io::{self, Write};

use anyhow::Context;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use super::ExitError;

/// How to show data.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Format {
    /// Print JSON instead of a table; decimals and 64-bit numbers are strings
    #[arg(long)]
    pub json: bool,
}

/// Rows under named columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Option<String>>>,
}

impl Listing {
    /// Starts without rows. Columns are named in `snake_case`, as in JSON; a table shows spaces instead.
    #[must_use]
    pub fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for every column; `None` is an empty cell, and is left out of the JSON.
    pub fn add(&mut self, cells: impl IntoIterator<Item = Option<String>>) {
        let mut row: Vec<Option<String>> = cells.into_iter().collect();
        row.resize(self.columns.len(), None);
        self.rows.push(row);
    }

    /// The rows as text that ends with a line break.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        if format.json { pretty(&self.json()) } else { self.table() }
    }

    /// A list with one object a row; every value is a string.
    #[must_use]
    pub fn json(&self) -> Value {
        let object = |row: &Vec<Option<String>>| {
            let cells = self.columns.iter().zip(row);
            let present = cells.filter_map(|(column, cell)| Some(((*column).to_owned(), cell.clone()?.into())));
            Value::Object(present.collect::<Map<_, _>>())
        };
        self.rows.iter().map(object).collect()
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.columns.iter().map(|column| Cell::new(column.replace('_', " "))));
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| Cell::new(printable(cell.as_deref().unwrap_or_default()))));
        }
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if self.holds_numbers(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n") + "\n"
    }

    fn holds_numbers(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column)?.as_deref()).peekable();
        cells.peek().is_some()
            && cells.all(|cell| cell.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte)))
    }
}

/// JSON with line breaks, for programs that people watch.
#[must_use]
pub fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Control characters become their escapes, so that nothing steers the terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(escape).collect()
}

/// Writes data to stdout.
///
/// # Errors
/// [`ExitError::Failed`] if it cannot be written, unless the reader has closed its end.
pub fn show(text: &str) -> Result<(), ExitError> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// What came of writing data.
///
/// # Errors
/// [`ExitError::Failed`] if it could not be written, unless the reader has closed its end.
pub fn written(result: io::Result<()>) -> Result<(), ExitError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("stdout cannot be written").map_err(ExitError::Failed)
        }
        _ => Ok(()),
    }
}

/// Writes one message for people to stderr; a closed stderr changes nothing.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        let mut listing = Listing::new(&["credit_type", "remaining", "reason"]);
        listing.add([Some("credits".into()), Some("1000".into()), Some("Welcome".into())]);
        listing.add([Some("minutes".into()), Some("7.5".into()), None]);
        listing
    }

    #[test]
    fn a_table_has_a_heading_and_numbers_to_the_right() {
        let expected = "\
credit type  remaining  reason
credits           1000  Welcome
minutes            7.5
";
        assert_eq!(listing().render(Format::default()), expected);
    }

    #[test]
    fn json_leaves_out_empty_cells() {
        let json: Value = serde_json::from_str(&listing().render(Format { json: true })).unwrap();
        let expected = serde_json::json!([
            { "credit_type": "credits", "remaining": "1000", "reason": "Welcome" },
            { "credit_type": "minutes", "remaining": "7.5" },
        ]);
        assert_eq!(json, expected);
    }

    #[test]
    fn without_rows_there_is_a_heading_or_an_empty_list() {
        let empty = Listing::new(&["position", "type"]);
        assert_eq!(empty.render(Format::default()), "position  type\n");
        assert_eq!(empty.render(Format { json: true }), "[]\n");
    }

    #[test]
    fn nothing_in_a_cell_steers_the_terminal() {
        let mut listing = Listing::new(&["reason"]);
        listing.add([Some("\u{1b}[2Jgone\nnext ü".into())]);
        assert_eq!(listing.render(Format::default()), "reason\n\\u{1b}[2Jgone\\nnext ü\n");
    }
}
