//! geofence: passes on only what is near a place.
//!
//! A decision before anything is fetched: what is far away costs no download. It reads where a message
//! is from its headers `latitude` and `longitude` and never looks at content.

use flow_plugin::prelude::*;

/// What a flow may write under `- plugin: geofence`.
#[derive(Options)]
struct Settings {
    /// The middle, `LATITUDE,LONGITUDE` in degrees, north and east positive.
    #[option(example = "'45.5,-73.6'")]
    center: String,
    /// How far from it a message may be, kilometres.
    #[option(default = "100", example = "25")]
    radius: u32,
    /// Whether what does not say where it is passes.
    #[option(default = "off")]
    pass_unknown: bool,
}

/// The plugin.
pub struct Geofence {
    center: Place,
    radius: f64,
    pass_unknown: bool,
}

/// A place on earth, degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place {
    latitude: f64,
    longitude: f64,
}

impl Place {
    fn parse(latitude: &str, longitude: &str) -> Option<Self> {
        let degrees = |text: &str, most: f64| {
            let value: f64 = text.trim().parse().ok()?;
            (value.abs() <= most).then_some(value)
        };
        Some(Self {
            latitude: degrees(latitude, 90.0)?,
            longitude: degrees(longitude, 180.0)?,
        })
    }

    /// Where a message says it is.
    fn of(message: &Message) -> Option<Self> {
        Self::parse(message.header("latitude")?, message.header("longitude")?)
    }

    /// Kilometres along the surface (haversine, a sphere: half a percent off at most).
    fn distance(self, other: Self) -> f64 {
        const RADIUS: f64 = 6371.0;
        let [south, north] = [self.latitude.to_radians(), other.latitude.to_radians()];
        let by = |a: f64, b: f64| ((b - a) / 2.0).sin().powi(2);
        let east = by(self.longitude.to_radians(), other.longitude.to_radians());
        let h = by(south, north) + south.cos() * north.cos() * east;
        2.0 * RADIUS * h.sqrt().min(1.0).asin()
    }
}

#[plugin(doc = include_str!("../README.md"))]
impl Geofence {
    fn start(settings: Settings) -> Result<Self> {
        let center = settings
            .center
            .split_once(',')
            .and_then(|(latitude, longitude)| Place::parse(latitude, longitude));
        let center = center.ok_or_else(|| {
            Failure::config(format!(
                "option `center`: `{}` is no place; write degrees, `'45.5,-73.6'`",
                settings.center
            ))
        })?;
        Ok(Self {
            center,
            radius: f64::from(settings.radius),
            pass_unknown: settings.pass_unknown,
        })
    }

    fn after_accept(&mut self, message: &Message) -> Result<Verdict> {
        let Some(place) = Place::of(message) else {
            return Ok(if self.pass_unknown {
                Verdict::Keep
            } else {
                Verdict::rejected(422, "it does not say where it is")
            });
        };
        let distance = self.center.distance(place);
        if distance > self.radius {
            let far = format!("{distance:.0} km away, {:.0} are allowed", self.radius);
            return Ok(Verdict::rejected(404, far));
        }
        let edit = Edit::set_header("distance_km", format!("{distance:.1}"));
        Ok(Verdict::Update(vec![edit]))
    }
}

#[cfg(test)]
mod tests {
    use flow_plugin::testing;

    use super::*;

    fn started(options: &[(&str, &str)]) -> Result<Geofence> {
        testing::start(options)
    }

    fn at(latitude: &str, longitude: &str) -> Message {
        let mut message = Message::new(1, "https://example.org/", "a.txt");
        message.headers = vec![
            Header::text("latitude", latitude),
            Header::text("longitude", longitude),
        ];
        message
    }

    #[test]
    fn distances_are_those_of_a_globe() {
        let montreal = Place::parse("45.5", "-73.6").expect("a place");
        let paris = Place::parse("48.85", "2.35").expect("a place");
        assert!((montreal.distance(paris) - 5504.0).abs() < 30.0);
        assert_eq!(montreal.distance(montreal), 0.0);
    }

    #[test]
    fn what_is_far_away_is_rejected_and_what_is_near_is_marked() {
        let mut plugin = started(&[("center", "45.5,-73.6"), ("radius", "50")]).expect("it starts");
        let near = plugin.after_accept(&at("45.6", "-73.6"));
        let mark = Edit::set_header("distance_km", "11.1");
        assert_eq!(near, Ok(Verdict::Update(vec![mark])));
        let far = plugin.after_accept(&at("48.85", "2.35"));
        let Ok(Verdict::Reject(rejection)) = far else {
            panic!("{far:?}")
        };
        assert_eq!(rejection.code, 404);
        assert!(rejection.reason.ends_with("km away, 50 are allowed"));
    }

    #[test]
    fn what_does_not_say_where_it_is_is_an_option() {
        let nowhere = Message::new(1, "https://example.org/", "a.txt");
        for (pass, verdict) in [
            ("on", Verdict::Keep),
            ("off", Verdict::rejected(422, "it does not say where it is")),
        ] {
            let options = [("center", "0,0"), ("pass_unknown", pass)];
            let mut plugin = started(&options).expect("it starts");
            assert_eq!(plugin.after_accept(&nowhere), Ok(verdict.clone()));
            assert_eq!(plugin.after_accept(&at("91", "0")), Ok(verdict));
        }
    }

    #[test]
    fn a_center_that_is_no_place_stops_the_start() {
        let failure = started(&[("center", "Montreal")]).err().expect("a failure");
        assert!(
            failure.reason().contains("`Montreal` is no place"),
            "{failure:?}"
        );
    }
}
