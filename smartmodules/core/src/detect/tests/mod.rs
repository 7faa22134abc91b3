//! The stage `detect` as a whole.

mod stage;
