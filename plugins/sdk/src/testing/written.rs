//! Options as a flow writes them, for tests: the plugin's own manifest says how to read them.

use std::time::Duration;

use crate::{
    Context, Describe, Failure, Lifecycle, OptionKind, OptionSpec, Options, Result, Setting,
};

/// Starts a plugin with options written as in a flow; the others have their defaults.
///
/// ```
/// # use flow_plugin::prelude::*;
/// # struct Limit(u64);
/// # #[derive(Options)]
/// # struct Settings {
/// #     /// Bytes.
/// #     #[option(default = "1MiB")]
/// #     most: u64,
/// # }
/// # #[plugin(summary = "stops what is large")]
/// # impl Limit {
/// #     fn start(settings: Settings) -> Self { Self(settings.most) }
/// #     fn after_accept(&mut self, _: &Message) -> Result<Verdict> { Ok(Verdict::Keep) }
/// # }
/// let limit: Limit = flow_plugin::testing::start(&[("most", "2KiB")]).expect("it starts");
/// assert_eq!(limit.0, 2048);
/// ```
///
/// # Errors
/// What the plugin's `start` fails with, and `config` where the manifest knows no such option, or
/// the text is nothing it can hold. The real host says more.
pub fn start<P: Describe + Lifecycle>(options: &[(&str, &str)]) -> Result<P> {
    let context = Context {
        options: self::options::<P>(options)?,
        ..super::context(None, &[])
    };
    P::start(context)
}

/// The options of a plugin as its `start` gets them.
///
/// # Errors
/// As [`start`], before the plugin is asked.
pub fn options<P: Describe>(written: &[(&str, &str)]) -> Result<Options> {
    let specs = P::describe().options;
    for (name, _) in written {
        if !specs.iter().any(|spec| spec.name == *name) {
            return Err(Failure::config(format!(
                "the manifest has no option `{name}`"
            )));
        }
    }
    let mut settings = Vec::new();
    for spec in &specs {
        let text = written
            .iter()
            .find(|(name, _)| *name == spec.name)
            .map(|(_, text)| *text)
            .or(spec.default.as_deref());
        match text {
            Some(text) => settings.push((spec.name.clone(), setting(spec, text)?)),
            None if spec.required => {
                return Err(Failure::config(format!(
                    "option `{}` has to be set",
                    spec.name
                )));
            }
            None => {}
        }
    }
    Ok(settings.into_iter().collect())
}

fn setting(spec: &OptionSpec, text: &str) -> Result<Setting> {
    if spec.repeated {
        let inner = text.trim_start_matches('[').trim_end_matches(']');
        let items = inner.split(',').map(|item| item.trim().to_owned());
        return Ok(Setting::List(
            items.filter(|item| !item.is_empty()).collect(),
        ));
    }
    let read = match spec.kind {
        OptionKind::Flag => match text {
            "true" | "yes" | "on" => Some(Setting::Flag(true)),
            "false" | "no" | "off" => Some(Setting::Flag(false)),
            _ => None,
        },
        OptionKind::Count => text.parse().ok().map(Setting::Count),
        OptionKind::Size => size(text).map(Setting::Size),
        OptionKind::Duration => span(text)
            .and_then(|span| u64::try_from(span.as_millis()).ok())
            .map(Setting::Duration),
        OptionKind::Choice if !spec.choices.iter().any(|choice| choice == text) => None,
        _ => Some(Setting::Text(text.to_owned())),
    };
    read.ok_or_else(|| Failure::config(format!("option `{}` can't be `{text}`", spec.name)))
}

/// A number and its unit.
fn parts(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = parts(text)?;
    let factor = match unit {
        "" if number == 0.0 => 1.0,
        "B" => 1.0,
        "k" | "kB" => 1e3,
        "M" | "MB" => 1e6,
        "G" | "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some((number * factor) as u64)
}

fn span(text: &str) -> Option<Duration> {
    let (number, unit) = parts(text)?;
    let seconds = match unit {
        "" if number == 0.0 => 1.0,
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    struct Every(Settings);

    #[derive(Options, Debug, PartialEq)]
    struct Settings {
        /// How long.
        #[option(default = "90s")]
        wait: Duration,
        /// How large.
        #[option(default = "10k")]
        size: u64,
        /// Whether.
        quick: bool,
        /// Which.
        names: Vec<String>,
        /// Where.
        url: String,
    }

    #[plugin(summary = "takes options")]
    impl Every {
        fn start(context: &Context, settings: Settings) -> Result<Self> {
            assert_eq!(context.flow, "flow/test");
            Ok(Self(settings))
        }

        fn after_accept(&mut self, work: &mut Worklist) -> Result<()> {
            let first = work.incoming.remove(0);
            work.reject(first, 404, self.0.url.clone());
            Ok(())
        }
    }

    #[test]
    fn a_plugin_starts_with_options_as_a_flow_writes_them() {
        let mut every: Every = start(&[
            ("url", "https://example.org/"),
            ("quick", "on"),
            ("names", "[a, b]"),
        ])
        .expect("all is there");
        let expected = Settings {
            wait: Duration::from_secs(90),
            size: 10_000,
            quick: true,
            names: vec!["a".into(), "b".into()],
            url: "https://example.org/".into(),
        };
        assert_eq!(every.0, expected);
        let batch = vec![Message::new(1, "", "a"), Message::new(2, "", "b")];
        let verdicts = crate::AfterAccept::after_accept(&mut every, batch);
        assert_eq!(
            verdicts,
            Ok(vec![
                Verdict::rejected(404, "https://example.org/"),
                Verdict::Keep
            ])
        );
    }

    #[test]
    fn options_that_are_wrong_say_so() {
        let failed = |options: &[(&str, &str)]| match start::<Every>(options) {
            Err(failure) => failure.reason().to_owned(),
            Ok(_) => panic!("it started"),
        };
        assert_eq!(failed(&[]), "option `url` has to be set");
        assert_eq!(failed(&[("urk", "x")]), "the manifest has no option `urk`");
        assert_eq!(
            failed(&[("url", "x"), ("wait", "long")]),
            "option `wait` can't be `long`"
        );
    }
}
