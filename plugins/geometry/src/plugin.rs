//! The plugin: which area, which field, and what follows.

use flow_plugin::template::field_of;
use flow_plugin::{
    AfterAccept, Context, Describe, Failure, Lifecycle, Manifest, Message, OptionKind, Result,
    Verdict, manifest, option,
};

use crate::area::{self, Area};

/// Elsewhere, as the engine's own filters say it.
const UNWANTED: u16 = 404;
/// Its geometry can't be read.
const UNUSABLE: u16 = 422;
/// Furthest `max_distance`, kilometres: beyond, the reckoning is not good enough.
const FURTHEST: i64 = 2000;

/// The plugin.
#[derive(Debug)]
pub struct Geometry {
    area: Area,
    field: String,
    keep_missing: bool,
    reject: bool,
}

impl Describe for Geometry {
    fn describe() -> Manifest {
        manifest("geometry", env!("CARGO_PKG_VERSION"), "accepts messages whose geometry touches an area")
            .doc(include_str!("../README.md"))
            .option(option("boxes", OptionKind::Text, "Bounding boxes, each `west,south,east,north` in degrees; a west greater than the east crosses the date line.").repeated().example("['-80,44,-70,50']"))
            .option(option("area", OptionKind::Text, "GeoJSON of the area: a geometry, a feature or a collection; counts beside `boxes`.").example(r#"'{"type": "Point", "coordinates": [-73.57, 45.50]}'"#))
            .option(option("max_distance", OptionKind::Count, "How far from the area a geometry may be and still count, 0 to 2000 km.").default("0").example("200"))
            .option(option("field", OptionKind::Text, "The header that holds the geometry.").default("geometry"))
            .option(option("missing", OptionKind::Choice, "What becomes of a message without a geometry.").choices(&["reject", "keep"]).default("reject"))
            .option(option("then", OptionKind::Choice, "What becomes of a message whose geometry touches the area; the others meet the opposite.").choices(&["accept", "reject"]).default("accept"))
            .build()
    }
}

impl Lifecycle for Geometry {
    fn start(context: Context) -> Result<Self> {
        let given = &context.options;
        let wrong = |name: &'static str| {
            move |reason: String| Failure::config(format!("option `{name}`: {reason}"))
        };
        let mut parts = Vec::new();
        for text in given.list("boxes")? {
            parts.extend(area::bounding_box(&text).map_err(wrong("boxes"))?);
        }
        if let Some(text) = given.get::<String>("area")? {
            let shapes = area::read(&text).map_err(wrong("area"))?;
            if shapes.is_empty() {
                return Err(wrong("area")("has no position in it".to_owned()));
            }
            parts.extend(shapes);
        }
        if parts.is_empty() {
            return Err(Failure::config(
                "no area is named, so no message could touch it; set `boxes` or `area`",
            ));
        }
        let distance = given.count("max_distance")?;
        let max_distance = u32::try_from(distance)
            .ok()
            .filter(|_| distance <= FURTHEST)
            .ok_or_else(|| {
                wrong("max_distance")(format!("is {distance}, but has to be from 0 to {FURTHEST}"))
            })?;
        Ok(Self {
            area: Area::new(parts, max_distance),
            field: given.text("field")?,
            keep_missing: given.text("missing")? == "keep",
            reject: given.text("then")? == "reject",
        })
    }
}

impl AfterAccept for Geometry {
    fn after_accept(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        Ok(batch.iter().map(|message| self.one(message)).collect())
    }
}

impl Geometry {
    fn one(&self, message: &Message) -> Verdict {
        let text = field_of(message, &self.field);
        let read = text.as_deref().map_or(Ok(Vec::new()), area::read);
        let shapes = match read {
            Ok(shapes) if !shapes.is_empty() => shapes,
            Ok(_) if self.keep_missing => return Verdict::Keep,
            Ok(_) => return Verdict::rejected(UNWANTED, "it has no geometry"),
            Err(why) => {
                let why: String = why.chars().take(200).flat_map(char::escape_debug).collect();
                return Verdict::rejected(
                    UNUSABLE,
                    format!("its `{}` is no geometry: {why}", self.field),
                );
            }
        };
        match (self.area.touches(&shapes), self.reject) {
            (true, false) | (false, true) => Verdict::Keep,
            (true, true) => Verdict::rejected(UNWANTED, "its geometry touches the area"),
            (false, false) => Verdict::rejected(UNWANTED, "its geometry is outside of the area"),
        }
    }
}

#[cfg(test)]
mod tests {
    use flow_plugin::testing::context;
    use flow_plugin::{Header, Setting};

    use super::*;

    fn text(value: &str) -> Setting {
        Setting::Text(value.to_owned())
    }

    fn start(more: &[(&str, Setting)]) -> Result<Geometry> {
        let mut settings = vec![
            ("max_distance", Setting::Count(0)),
            ("field", text("geometry")),
            ("missing", text("reject")),
            ("then", text("accept")),
        ];
        for (name, setting) in more {
            settings.retain(|(n, _)| n != name);
            settings.push((name, setting.clone()));
        }
        Geometry::start(context(None, &settings))
    }

    fn batch() -> Vec<Message> {
        let geometries = [
            Some(Header::json(
                "geometry",
                r#"{"type":"Point","coordinates":[-73.6,45.5]}"#,
            )),
            Some(Header::text(
                "geometry",
                r#"{"type":"Point","coordinates":[2.3,48.9]}"#,
            )),
            Some(Header::json("geometry", "null")),
            None,
            Some(Header::text("geometry", "Montréal")),
        ];
        let messages = geometries.into_iter().map(|geometry| {
            let mut message = Message::new(1, "http://h/", "a");
            message.headers.extend(geometry);
            message
        });
        messages.collect()
    }

    fn codes(more: &[(&str, Setting)]) -> Vec<u16> {
        let verdicts = start(more).unwrap().after_accept(batch()).unwrap();
        let code = |verdict: &Verdict| match verdict {
            Verdict::Keep => 0,
            Verdict::Reject(rejection) => rejection.code,
            other => panic!("{other:?}"),
        };
        verdicts.iter().map(code).collect()
    }

    #[test]
    fn messages_are_told_by_their_geometry() {
        let quebec = ("boxes", Setting::List(vec!["-80,44,-70,50".into()]));
        assert_eq!(
            codes(std::slice::from_ref(&quebec)),
            [0, 404, 404, 404, 422]
        );
        let keep = ("missing", text("keep"));
        assert_eq!(codes(&[quebec.clone(), keep.clone()]), [0, 404, 0, 0, 422]);
        let reject = ("then", text("reject"));
        assert_eq!(codes(&[quebec, keep, reject]), [404, 0, 0, 0, 422]);
    }

    #[test]
    fn areas_add_up() {
        let paris = r#"{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[2,49]}}"#;
        let options = [
            ("boxes", Setting::List(vec!["-80,44,-70,50".into()])),
            ("area", text(paris)),
            ("max_distance", Setting::Count(50)),
        ];
        assert_eq!(codes(&options), [0, 0, 404, 404, 422]);
    }

    #[test]
    fn mistakes_stop_the_start() {
        let paris = text(r#"{"type":"Point","coordinates":[2,49]}"#);
        for (options, expected) in [
            (vec![], "no area is named"),
            (vec![("area", text("here"))], "option `area`: "),
            (
                vec![("area", text("null"))],
                "option `area`: has no position",
            ),
            (
                vec![("boxes", Setting::List(vec!["1,2".into()]))],
                "option `boxes`: `1,2` has 2 numbers",
            ),
            (
                vec![("area", paris), ("max_distance", Setting::Count(5000))],
                "option `max_distance`: is 5000",
            ),
        ] {
            let failure = start(&options).unwrap_err();
            assert!(failure.reason().starts_with(expected), "{failure:?}");
        }
    }
}
