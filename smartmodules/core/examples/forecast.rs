//! Runs the stage `forecast` over a series: `forecast CONFIG_JSON < series`, a line per value as
//! `TIME_S VALUE` (`-` for none), and prints per line the fields that the stage added, as JSON.
//! `tests/golden/forecast.py` holds it against statsmodels.

use perfstream_core::forecast::ForecastStage;
use perfstream_core::json::write_row;
use perfstream_core::row::{Fields, Kind, Meta, Output, Rows};
use perfstream_core::value::Value;
use perfstream_core::{Context, Stage};
use std::io::{BufRead, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = std::env::args().nth(1).ok_or("give the config as JSON")?;
    let mut fields = Fields::default();
    let made = ForecastStage::new(serde_json::from_str(&config)?, &Context::default(), &mut fields);
    let mut stage = made.map_err(|issues| format!("{issues:?}"))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (time, value) = line.split_once(' ').ok_or("expected `TIME_S VALUE`")?;
        let time = (time.parse::<f64>()? * 1e6) as i64;
        let mut input = Output::default();
        input.begin(&[]);
        let value = value.parse::<f64>().map_or(Value::Null, Value::Float);
        input.row(Meta { kind: Kind::Window, offset: 0, log_time: time, event_time: time }, None).field("value", value);
        let batch = input.as_batch();
        let mut rows = Rows::new(&batch, &fields, 0);
        let mut output = Output::default();
        output.begin(batch.names());
        while let Some(row) = rows.next() {
            stage.process(&row.map_err(|_| "a row that is none")?, &mut output);
        }
        let (batch, none) = (output.as_batch(), Fields::default());
        let mut rows = Rows::new(&batch, &none, 0);
        while let Some(row) = rows.next() {
            let mut text = Vec::new();
            write_row(&row.map_err(|_| "a row that is none")?, &mut text);
            text.push(b'\n');
            out.write_all(&text)?;
        }
    }
    Ok(())
}
