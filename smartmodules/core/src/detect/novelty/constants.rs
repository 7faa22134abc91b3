//! The numbers of `novelty` that are not parameters.
//!
//! They were chosen on NAB's development half among near values, so the score there flatters them by
//! a point or two; `cargo xtask accuracy --nab DIR --sweep` varies each by 0.7 and 1.3 and prints
//! what that does (but `half`, which moves no score past another). They are a struct, so that it can.

use super::stream::{Each, RESOLUTIONS};

/// The numbers of `novelty` that are not parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constants {
    /// Cells per range of the streams `level` and `recent`
    pub level_cells: Each<f64>,
    /// Cells per range of the stream `pair`, along both axes
    pub pair_cells: Each<f64>,
    /// Radii of the stream `residual`, in mean deviations from the expected value
    pub residual_radii: Each<f64>,
    /// Cells per range of the stream `day`
    pub day_cells: Each<f64>,
    /// How near in time of day two points of the stream `day` must be, in hours
    pub day_hours: Each<f64>,
    /// Days seen before the stream `day` says anything
    pub day_after_days: f64,
    /// Time constant of the mean that the stream `day` looks at, in hours
    pub day_mean_hours: f64,
    /// Days after which the streams that forget drop a leader that met no point
    pub life_days: Each<f64>,
    /// Half-life of the range of the stream `recent`, in days
    pub range_half_life_days: f64,
    /// Weight of the newest point in the rate of novelties
    pub rate_step: Each<f64>,
    /// Least rate of novelties
    pub rate_floor: f64,
    /// Weight of the newest value in centre and spread
    pub spread_step: f64,
    /// Spreads beyond which a deviation counts as so many, so that one outlier does not deafen
    pub clip_spreads: f64,
    /// Time constant of a bin of the expected profile, in hours within that bin
    pub profile_hours: f64,
    /// Time constant of the expected level, in hours
    pub level_hours: f64,
    /// Time constant of the deviations from it, in hours
    pub deviation_hours: f64,
    /// Evidence, in decades, at which the score is one half
    pub half: f64,
    /// Rest as a share of the observations so far
    pub rest_share: f64,
    /// Least range, as a share of the largest magnitude seen
    pub least_range: f64,
    /// Most leaders of each resolution
    pub leaders: Each<usize>,
}

impl Constants {
    /// Those that are shipped.
    pub const STANDARD: Constants = Constants {
        level_cells: [10.0, 16.0, 25.0, 40.0],
        pair_cells: [4.0, 6.0, 8.0, 10.0],
        residual_radii: [0.6, 0.9, 1.2, 1.6],
        day_cells: [5.0, 7.0, 9.0, 12.0],
        day_hours: [0.75, 1.0, 1.25, 1.5],
        day_after_days: 3.0,
        day_mean_hours: 1.0,
        life_days: [21.0; RESOLUTIONS],
        range_half_life_days: 6.0,
        rate_step: [0.0005, 0.001, 0.001, 0.002],
        rate_floor: 0.001,
        spread_step: 0.001,
        clip_spreads: 6.0,
        profile_hours: 5.0,
        level_hours: 24.0,
        deviation_hours: 72.0,
        half: 1.6,
        rest_share: 0.05,
        least_range: 0.01,
        leaders: [36, 44, 52, 52],
    };
}
