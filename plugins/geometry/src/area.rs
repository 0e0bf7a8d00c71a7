//! The area, and whether a geometry touches it. Pure.
//!
//! Everything from outside is bounded: text by its length, coordinates by the globe. Geometries are
//! taken apart into points, lines and polygons with as many positions as they need, because the
//! reckoning panics on crippled ones.

use geo::{
    BoundingRect, Coord, CoordsIter, Distance, Euclidean, Geometry, Intersects, MapCoords, Rect,
};
use geojson::GeoJson;

/// Kilometres of one degree of latitude, on a sphere of 6371 km.
const DEGREE_KM: f64 = 111.195;
/// Longest GeoJSON text of a message that is read, bytes.
const TEXT_MAX: usize = 256 * 1024;

/// What messages have to touch.
#[derive(Debug)]
pub(crate) struct Area {
    parts: Vec<Geometry>,
    /// Kilometres.
    max_distance: f64,
}

impl Area {
    pub(crate) fn new(parts: Vec<Geometry>, max_distance: u32) -> Self {
        Self {
            parts,
            max_distance: f64::from(max_distance),
        }
    }

    /// Whether one of `shapes` touches the area, or is no further from it than is allowed.
    pub(crate) fn touches(&self, shapes: &[Geometry]) -> bool {
        shapes.iter().any(|shape| {
            self.parts.iter().any(|part| {
                part.intersects(shape)
                    || (self.max_distance > 0.0 && distance(part, shape) <= self.max_distance)
            })
        })
    }
}

/// Kilometres between two geometries, which do not touch.
///
/// Degrees of longitude shrink towards the poles; they are taken as long as they are half way
/// between the two. Good to a few percent over some hundred kilometres, away from the poles.
fn distance(one: &Geometry, other: &Geometry) -> f64 {
    let (Some(first), Some(second)) = (one.bounding_rect(), other.bounding_rect()) else {
        return f64::INFINITY;
    };
    // The latitude both have in common, or the middle between them.
    let low = first.min().y.max(second.min().y);
    let high = first.max().y.min(second.max().y);
    let shrink = f64::midpoint(low, high).to_radians().cos();
    // A world away by longitude may be next door across the date line.
    [-360.0, 0.0, 360.0]
        .into_iter()
        .map(|turn| {
            let flat = |geometry: &Geometry, turn: f64| {
                geometry.map_coords(|Coord { x, y }| Coord {
                    x: (x + turn) * shrink * DEGREE_KM,
                    y: y * DEGREE_KM,
                })
            };
            Euclidean.distance(&flat(one, turn), &flat(other, 0.0))
        })
        .fold(f64::INFINITY, f64::min)
}

/// Reads `west,south,east,north` in degrees; a west east of the east crosses the date line.
pub(crate) fn bounding_box(text: &str) -> Result<Vec<Geometry>, String> {
    let numbers: Vec<f64> = text
        .split(',')
        .map(|number| number.trim().parse().ok())
        .collect::<Option<_>>()
        .ok_or_else(|| format!("`{text}` is not written `west,south,east,north`"))?;
    let [west, south, east, north] = numbers[..] else {
        return Err(format!("`{text}` has {} numbers, not 4", numbers.len()));
    };
    let longitude = |x: f64| (-180.0..=180.0).contains(&x);
    let latitude = |y: f64| (-90.0..=90.0).contains(&y);
    if !(longitude(west) && longitude(east) && latitude(south) && latitude(north)) {
        return Err(format!("`{text}` is not on the globe"));
    }
    if south > north {
        return Err(format!("in `{text}` the south is north of the north"));
    }
    let rect = |west, east| {
        Geometry::Rect(Rect::new(
            Coord { x: west, y: south },
            Coord { x: east, y: north },
        ))
    };
    Ok(if west > east {
        vec![rect(west, 180.0), rect(-180.0, east)]
    } else {
        vec![rect(west, east)]
    })
}

/// Reads GeoJSON: the points, lines and polygons of a geometry, a feature, or a collection of them;
/// empty where it has no position.
pub(crate) fn read(text: &str) -> Result<Vec<Geometry>, String> {
    if text.trim() == "null" {
        return Ok(Vec::new());
    }
    if text.len() > TEXT_MAX {
        return Err(format!("its {} bytes are more than {TEXT_MAX}", text.len()));
    }
    let json: GeoJson = text.parse().map_err(|error| format!("{error}"))?;
    let raw: Vec<geojson::Geometry> = match json {
        GeoJson::Geometry(geometry) => vec![geometry],
        GeoJson::Feature(feature) => feature.geometry.into_iter().collect(),
        GeoJson::FeatureCollection(all) => all
            .features
            .into_iter()
            .filter_map(|feature| feature.geometry)
            .collect(),
    };
    let mut shapes = Vec::with_capacity(raw.len());
    for geometry in raw {
        let geometry = Geometry::try_from(geometry).map_err(|error| format!("{error}"))?;
        take_apart(geometry, &mut shapes)?;
    }
    let on_globe = |Coord { x, y }: Coord| x.abs() <= 360.0 && y.abs() <= 90.0;
    let off_globe = |shape: &Geometry| shape.coords_iter().any(|at| !on_globe(at));
    if shapes.iter().any(off_globe) {
        return Err("a position is not on the globe".to_owned());
    }
    Ok(shapes)
}

/// Takes a geometry apart into points, lines and polygons.
fn take_apart(geometry: Geometry, shapes: &mut Vec<Geometry>) -> Result<(), String> {
    match geometry {
        Geometry::LineString(line) if line.0.len() < 2 => {
            return Err("a line has less than 2 positions".to_owned());
        }
        Geometry::Polygon(polygon) => {
            // The conversion closes rings, and gives a hollow polygon an empty one.
            let mut rings = std::iter::once(polygon.exterior()).chain(polygon.interiors());
            if rings.any(|ring| ring.0.len() < 4) {
                return Err("a ring has less than 4 positions".to_owned());
            }
            shapes.push(Geometry::Polygon(polygon));
        }
        Geometry::MultiPoint(all) => shapes.extend(all.into_iter().map(Geometry::Point)),
        Geometry::MultiLineString(all) => {
            for line in all {
                take_apart(Geometry::LineString(line), shapes)?;
            }
        }
        Geometry::MultiPolygon(all) => {
            for polygon in all {
                take_apart(Geometry::Polygon(polygon), shapes)?;
            }
        }
        Geometry::GeometryCollection(all) => {
            for geometry in all {
                take_apart(geometry, shapes)?;
            }
        }
        simple => shapes.push(simple),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(text: &str) -> Vec<Geometry> {
        read(text).unwrap()
    }

    fn point(x: f64, y: f64) -> Vec<Geometry> {
        geometry(&format!(r#"{{"type":"Point","coordinates":[{x},{y}]}}"#))
    }

    fn boxed(text: &str, max_distance: u32) -> Area {
        Area::new(bounding_box(text).unwrap(), max_distance)
    }

    #[test]
    fn points_lines_and_holes() {
        let area = Area::new(
            geometry(
                r#"{"type":"Polygon","coordinates":[[[0,0],[10,0],[10,10],[0,10],[0,0]],[[4,4],[6,4],[6,6],[4,6],[4,4]]]}"#,
            ),
            0,
        );
        for (x, y, inside) in [
            (1.0, 1.0, true),
            (5.0, 5.0, false),
            (10.0, 5.0, true),
            (11.0, 5.0, false),
        ] {
            assert_eq!(area.touches(&point(x, y)), inside, "{x} {y}");
        }
        let line = geometry(r#"{"type":"LineString","coordinates":[[-5,5],[15,5]]}"#);
        assert!(area.touches(&line));
        let inside_hole = geometry(r#"{"type":"LineString","coordinates":[[4.5,5],[5.5,5]]}"#);
        assert!(!area.touches(&inside_hole));
        let around = geometry(
            r#"{"type":"Polygon","coordinates":[[[-20,-20],[20,-20],[20,20],[-20,20],[-20,-20]]]}"#,
        );
        assert!(area.touches(&around));
    }

    #[test]
    fn boxes_cross_the_date_line() {
        let area = boxed("170,-20,-170,20", 0);
        assert!(area.touches(&point(179.0, 0.0)) && area.touches(&point(-179.0, 0.0)));
        assert!(!area.touches(&point(0.0, 0.0)));
    }

    #[test]
    fn distances_are_kilometres() {
        // Montréal to Ottawa is about 165 km, to Québec about 233 km.
        let montreal = Area::new(point(-73.57, 45.50), 200);
        assert!(montreal.touches(&point(-75.70, 45.42)));
        assert!(!montreal.touches(&point(-71.21, 46.81)));
        let ours = distance(&point(-73.57, 45.50)[0], &point(-75.70, 45.42)[0]);
        assert!((ours - 166.0).abs() < 3.0, "{ours}");
        assert!(boxed("170,-1,180,1", 50).touches(&point(-179.9, 0.0)));
        assert!(!boxed("170,-1,179,1", 50).touches(&point(-179.0, 0.0)));
    }

    #[test]
    fn collections_and_features() {
        let area = boxed("0,0,1,1", 0);
        let feature = r#"{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[0.5,0.5]}}"#;
        assert!(area.touches(&geometry(feature)));
        let all = format!(r#"{{"type":"FeatureCollection","features":[{feature},{feature}]}}"#);
        assert!(area.touches(&geometry(&all)));
        let mixed = r#"{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[9,9]},{"type":"MultiPoint","coordinates":[[8,8],[1,1]]}]}"#;
        assert!(area.touches(&geometry(mixed)));
    }

    #[test]
    fn what_has_no_position_is_nothing() {
        let empty = r#"{"type":"Feature","properties":null,"geometry":null}"#;
        let none = r#"{"type":"GeometryCollection","geometries":[]}"#;
        let hollow = r#"{"type":"MultiPolygon","coordinates":[]}"#;
        for text in ["null", empty, none, hollow] {
            assert_eq!(read(text), Ok(Vec::new()), "{text}");
        }
    }

    #[test]
    fn crippled_shapes_are_refused() {
        for text in [
            "",
            "7",
            r#"{"type":"Point"}"#,
            r#"{"type":"Point","coordinates":[]}"#,
            r#"{"type":"Point","coordinates":[0,1e300]}"#,
            r#"{"type":"Circle","coordinates":[0,0]}"#,
            r#"{"type":"Polygon","coordinates":[]}"#,
            r#"{"type":"Polygon","coordinates":[[]]}"#,
            r#"{"type":"Polygon","coordinates":[[[50,50]]]}"#,
            r#"{"type":"Polygon","coordinates":[[[50,50],[50,50]]]}"#,
            r#"{"type":"LineString","coordinates":[]}"#,
            r#"{"type":"LineString","coordinates":[[50,50]]}"#,
            r#"{"type":"MultiPolygon","coordinates":[[]]}"#,
            r#"{"type":"MultiLineString","coordinates":[[],[[50,50],[51,51]]]}"#,
            &" ".repeat(TEXT_MAX + 1),
        ] {
            assert!(read(text).is_err(), "{text:.60}");
        }
    }

    #[test]
    fn odd_shapes_do_no_harm() {
        let triangle = r#"{"type":"Polygon","coordinates":[[[0,0],[10,0],[10,10],[0,0]]]}"#;
        let area = Area::new(geometry(triangle), 10);
        for text in [
            r#"{"type":"Polygon","coordinates":[[[50,50],[50,50],[50,50],[50,50]]]}"#,
            r#"{"type":"LineString","coordinates":[[50,50],[50,50]]}"#,
            r#"{"type":"Polygon","coordinates":[[[50,50],[60,60],[50,60],[60,50],[50,50]]]}"#,
            r#"{"type":"Polygon","coordinates":[[[50,90],[60,90],[50,-90],[60,-90],[50,90]]]}"#,
            r#"{"type":"Point","coordinates":[50,90]}"#,
        ] {
            assert!(!area.touches(&geometry(text)), "{text}");
        }
    }

    #[test]
    fn boxes_are_checked() {
        for text in [
            "",
            "1,2,3",
            "1,2,3,x",
            "0,10,0,-10",
            "-190,0,0,0",
            "0,0,0,91",
            "nan,0,0,0",
        ] {
            assert!(bounding_box(text).is_err(), "{text}");
        }
    }
}
