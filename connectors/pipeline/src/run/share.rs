//! Which partitions a worker takes, when several share a pipeline.

use anyhow::{Error, Result, anyhow};
use std::fmt;
use std::str::FromStr;

/// The I-th of N workers, counted from 0: it takes the partitions p with p mod N = I.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which one
    pub index: u32,
    /// of how many
    pub count: u32,
}

impl Default for Share {
    fn default() -> Self {
        Share { index: 0, count: 1 }
    }
}

impl Share {
    /// Its partitions among `partitions`.
    pub fn of(self, partitions: u32) -> Vec<u32> {
        (0..partitions).filter(|p| p % self.count == self.index).collect()
    }
}

/// How a worker comes to its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instance {
    /// It is told
    Fixed(Share),
    /// The workers agree
    Auto,
}

impl Default for Instance {
    fn default() -> Self {
        Instance::Fixed(Share::default())
    }
}

impl FromStr for Instance {
    type Err = Error;

    fn from_str(text: &str) -> Result<Instance> {
        match text {
            "auto" => Ok(Instance::Auto),
            text => text.parse().map(Instance::Fixed),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Share {
    type Err = Error;

    fn from_str(text: &str) -> Result<Share> {
        let wrong =
            || anyhow!("expected `auto`, or I/N with I from 0 to N − 1 and N at most 1024, as 0/3; found `{text}`");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let share = Share { index: index.parse().map_err(|_| wrong())?, count: count.parse().map_err(|_| wrong())? };
        if share.index < share.count && share.count <= 1024 { Ok(share) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn shares_are_disjoint_and_complete() {
        let of = |text: &str| text.parse::<Share>().expect("a share").of(8);
        let mut all: Vec<u32> = ["0/3", "1/3", "2/3"].into_iter().flat_map(of).collect();
        all.sort_unstable();
        assert_eq!(all, (0..8).collect::<Vec<_>>());
        assert!(of("7/9").len() == 1 && of("8/9").is_empty());
        for wrong in ["3/3", "0/0", "x/2", "1", "-1/2", "0/2000"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}
