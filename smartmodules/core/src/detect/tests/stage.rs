//! Rows through the stage.
