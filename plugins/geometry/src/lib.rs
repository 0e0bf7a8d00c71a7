//! `geometry`: accepts messages whose geometry touches an area, or is near enough to it.
//!
//! Geometries are GeoJSON (RFC 7946), as WIS2 messages carry them. They are compared in the plane
//! of longitude and latitude, which is what the format means by a line between two positions.

mod area;
mod plugin;

pub use plugin::Geometry;

flow_plugin::export!(Geometry: Describe, Lifecycle, AfterAccept);
