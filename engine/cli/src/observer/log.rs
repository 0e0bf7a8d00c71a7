//! The look of a log line, and the engine's own log in the same look.

use std::fmt;
use std::io;
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::args::LogLevel;
use crate::console::Console;
use crate::journal::Logs;
use crate::render::{Paint, printable};
use crate::stop::Problem;

use super::lines::reason;

/// Local time of day, to the millisecond.
fn clock() -> String {
    jiff::Zoned::now().strftime("%H:%M:%S%.3f").to_string()
}

/// Local time of day, to the second.
pub(super) fn time_of_day(time: jiff::Timestamp) -> String {
    time.to_zoned(jiff::tz::TimeZone::system())
        .strftime("%H:%M:%S")
        .to_string()
}

/// `12:01:07.123 INFO  flow/mail  started`.
pub(super) fn line(paint: Paint, level: LogLevel, flow: &str, text: &str) -> String {
    timed_line(paint, &clock(), level, flow, text)
}

/// `2026-11-22 12:01:07.123 INFO  flow/mail  started`.
pub(crate) fn dated_line(
    paint: Paint,
    now: &jiff::Zoned,
    level: LogLevel,
    flow: &str,
    text: &str,
) -> String {
    let time = now.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
    timed_line(paint, &time, level, flow, text)
}

fn timed_line(paint: Paint, time: &str, level: LogLevel, flow: &str, text: &str) -> String {
    let badge = match level {
        LogLevel::Off => "     ".to_owned(),
        LogLevel::Error => paint.red("ERROR"),
        LogLevel::Warn => paint.yellow("WARN "),
        LogLevel::Info => paint.green("INFO "),
        LogLevel::Debug => paint.blue("DEBUG"),
        LogLevel::Trace => paint.dim("TRACE"),
    };
    format!("{} {badge} {}  {text}", paint.dim(time), paint.bold(flow))
}

/// Sends the engine's log to stderr.
///
/// # Errors
/// `filter` (from FLOW_LOG) is no level and no filter.
pub(crate) fn init(console: &Console, level: LogLevel, filter: Option<&str>) -> anyhow::Result<()> {
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Format {
            paint: console.paint_err(),
        })
        .with_writer(Lines(console.clone()));
    let subscriber = tracing_subscriber::registry()
        .with(changeable(env_filter(level, filter)?))
        .with(lines);
    // Set already means that a test did; its own will do.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// Sends the engine's log to where flows that run together write theirs: what happens in a flow to
/// its own.
///
/// # Errors
/// As [`init`].
pub(crate) fn init_logs(logs: &Logs, level: LogLevel, filter: Option<&str>) -> anyhow::Result<()> {
    let subscriber = tracing_subscriber::registry()
        .with(changeable(env_filter(level, filter)?))
        .with(ToLogs(logs.clone()));
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// The filter in use, to be changed once a flow says how much it wants.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

fn changeable(filter: EnvFilter) -> reload::Layer<EnvFilter, Registry> {
    let (layer, handle) = reload::Layer::new(filter);
    // A second one is that of a test, which changes nothing.
    let _ = FILTER.set(handle);
    layer
}

/// Opens the engine's log down to `level`, where nobody asked for another.
pub(crate) fn say_more(level: LogLevel) {
    if let (Some(handle), Ok(filter)) = (FILTER.get(), env_filter(level, None)) {
        // It fails only once the log is gone.
        let _ = handle.reload(filter);
    }
}

/// What of the engine's log is wanted.
fn env_filter(level: LogLevel, filter: Option<&str>) -> anyhow::Result<EnvFilter> {
    let level = match level {
        LogLevel::Off => "off",
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    // The engine's own crates at the level asked for, what they stand on only when it is in trouble.
    Ok(match filter {
        Some(filter) => EnvFilter::try_new(filter).map_err(|error| {
            Problem::new(
                "cli/bad-log-filter",
                format!("FLOW_LOG is no log level or filter: {error}"),
            )
            .hint("write a level such as `debug`, or a filter such as `info,flow_host=debug`")
        })?,
        None if level == "off" => EnvFilter::new("off"),
        None => EnvFilter::new(format!(
            "warn,flow={level},flow_daemon={level},flow_runtime={level},flow_broker={level},\
             flow_host={level},flow_config={level},plugin={level}"
        )),
    })
}

/// The flow a span is about.
struct Of(String);

/// Writes events into logs.
struct ToLogs(Logs);

impl<S> Layer<S> for ToLogs
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id)
            && !fields.flow.is_empty()
        {
            span.extensions_mut().insert(Of(fields.flow));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let around = || {
            let mut spans = context.event_scope(event)?;
            spans.find_map(|span| span.extensions().get::<Of>().map(|of| of.0.clone()))
        };
        let flow = Some(fields.flow.clone())
            .filter(|flow| !flow.is_empty())
            .or_else(around);
        let level = level_of(event);
        if !self.0.wants(flow.as_deref(), level) {
            return;
        }
        self.0
            .line(flow.as_deref(), level, &fields.text(Paint::off()));
    }
}

/// Writes an event as `time LEVEL flow  message field=value`.
struct Format {
    paint: Paint,
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = level_of(event);
        let mut fields = Fields::default();
        event.record(&mut fields);
        let flow = if fields.flow.is_empty() {
            event.metadata().target()
        } else {
            &fields.flow
        };
        let text = fields.text(self.paint);
        writeln!(writer, "{}", line(self.paint, level, flow, &text))
    }
}

fn level_of(event: &Event<'_>) -> LogLevel {
    match *event.metadata().level() {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

/// An event's fields, sorted into what stands where.
#[derive(Default)]
struct Fields {
    message: String,
    flow: String,
    rest: String,
}

impl Fields {
    /// All of it; what follows the first line is indented, so that none passes for somebody else's.
    fn text(&self, paint: Paint) -> String {
        let first = self.message.lines().next().unwrap_or_default();
        let (rest, more) = (reason(&self.rest), reason(&self.message[first.len()..]));
        format!("{}{}{more}", printable(first), paint.dim(&rest))
    }

    fn add(&mut self, field: &Field, value: String) {
        use std::fmt::Write;
        match field.name() {
            "message" => self.message = value,
            "flow" => self.flow = value,
            // Writing to a String can't fail.
            name => drop(write!(self.rest, " {name}={value}")),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

/// Hands whole lines to the console, so that they don't tear a progress bar.
struct Lines(Console);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter(&self.0)
    }
}

struct LineWriter<'a>(&'a Console);

impl io::Write for LineWriter<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.talk(&String::from_utf8_lossy(text));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_time_level_flow_and_text() {
        let line = line(Paint::off(), LogLevel::Warn, "flow/mail", "paused");
        let (time, rest) = line.split_at(12);
        assert_eq!(rest, " WARN  flow/mail  paused");
        assert!(time.chars().enumerate().all(|(index, c)| match index {
            2 | 5 => c == ':',
            8 => c == '.',
            _ => c.is_ascii_digit(),
        }));
    }

    #[test]
    fn further_lines_are_indented_behind_the_fields() {
        let fields = Fields {
            message: "a trace:\n  at f\n12:01:07.123 ERROR flow/x  forged\x1b[2J".into(),
            rest: " plugin=a".into(),
            ..Fields::default()
        };
        let indent = " ".repeat(20);
        assert_eq!(
            fields.text(Paint::off()),
            format!(
                "a trace: plugin=a\n{indent}  at f\n{indent}12:01:07.123 ERROR flow/x  forged\\u{{1b}}[2J"
            )
        );
    }
}
