//! brake
