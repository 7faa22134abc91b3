//! What the numbers of `novelty` that are not parameters do to scores: one variant of them per call.
//!
//! `novelty_sweep` lists the variants; `novelty_sweep VARIANT DATA OUT` reads DATA/CATEGORY/NAME.csv
//! (columns timestamp,value) and writes OUT/CATEGORY/NAME.csv (columns timestamp,anomaly_score).
//! `cargo xtask accuracy --nab DIR --sweep` scores them all.

use perfstream_core::detect::novelty::{Constants, Novelty, NoveltyConfig};
use std::error::Error;
use std::fmt::Write;
use std::path::Path;

const WARM_UPS: [u32; 7] = [100, 150, 200, 250, 300, 350, 400];
const FACTORS: [f64; 2] = [0.7, 1.3];

/// Scales one constant.
type Scale = fn(&mut Constants, f64);

const CONSTANTS: [(&str, Scale); 19] = [
    ("level_cells", |c, f| c.level_cells = c.level_cells.map(|x| x * f)),
    ("pair_cells", |c, f| c.pair_cells = c.pair_cells.map(|x| x * f)),
    ("residual_radii", |c, f| c.residual_radii = c.residual_radii.map(|x| x * f)),
    ("day_cells", |c, f| c.day_cells = c.day_cells.map(|x| x * f)),
    ("day_hours", |c, f| c.day_hours = c.day_hours.map(|x| x * f)),
    ("day_after_days", |c, f| c.day_after_days *= f),
    ("day_mean_hours", |c, f| c.day_mean_hours *= f),
    ("life_days", |c, f| c.life_days = c.life_days.map(|x| x * f)),
    ("range_half_life_days", |c, f| c.range_half_life_days *= f),
    ("rate_step", |c, f| c.rate_step = c.rate_step.map(|x| x * f)),
    ("rate_floor", |c, f| c.rate_floor *= f),
    ("spread_step", |c, f| c.spread_step *= f),
    ("clip_spreads", |c, f| c.clip_spreads *= f),
    ("profile_hours", |c, f| c.profile_hours *= f),
    ("level_hours", |c, f| c.level_hours *= f),
    ("deviation_hours", |c, f| c.deviation_hours *= f),
    ("least_range", |c, f| c.least_range *= f),
    ("rest_share", |c, f| c.rest_share *= f),
    ("leaders", |c, f| c.leaders = c.leaders.map(|n| (n as f64 * f) as usize)),
];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let variants = variants();
    let [name, data, out] = &args[..] else {
        for (name, ..) in &variants {
            println!("{name}");
        }
        return Ok(());
    };
    let (_, config, constants) = variants.into_iter().find(|v| v.0 == *name).ok_or("no such variant")?;
    let constants: &Constants = Box::leak(Box::new(constants));
    for category in std::fs::read_dir(data)? {
        let category = category?;
        let to = Path::new(out).join(category.file_name());
        std::fs::create_dir_all(&to)?;
        for file in std::fs::read_dir(category.path())? {
            let file = file?;
            let scored = score(&std::fs::read_to_string(file.path())?, Novelty::with(&config, constants))?;
            std::fs::write(to.join(file.file_name()), scored)?;
        }
    }
    Ok(())
}

fn variants() -> Vec<(String, NoveltyConfig, Constants)> {
    let (config, constants) = (NoveltyConfig::default(), Constants::STANDARD);
    let mut all = vec![("as shipped".to_string(), config.clone(), constants)];
    for warm_up in WARM_UPS {
        all.push((format!("warm_up {warm_up}"), NoveltyConfig { warm_up, ..config.clone() }, constants));
    }
    for factor in FACTORS {
        let rest = (f64::from(config.rest) * factor) as u32;
        all.push((format!("rest x {factor}"), NoveltyConfig { rest, ..config.clone() }, constants));
        for (name, scale) in CONSTANTS {
            let mut scaled = constants;
            scale(&mut scaled, factor);
            all.push((format!("{name} x {factor}"), config.clone(), scaled));
        }
    }
    all
}

fn score(text: &str, mut novelty: Novelty) -> Result<String, Box<dyn Error>> {
    let mut out = String::from("timestamp,anomaly_score\n");
    for line in text.lines().skip(1) {
        let (time, value) = line.split_once(',').ok_or("a line without a comma")?;
        let at: jiff::Timestamp = format!("{}Z", time.replace(' ', "T")).parse()?;
        let seen = novelty.observe(at.as_microsecond(), value.trim().parse().ok());
        writeln!(out, "{time},{}", seen.score.unwrap_or(0.0))?;
    }
    Ok(out)
}
