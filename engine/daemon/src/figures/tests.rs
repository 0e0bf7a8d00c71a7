//! What a meter counts and forgets, by a clock that is set by hand.

use async_trait::async_trait;
use flow_message::Timestamp;
use flow_runtime::ports::Lag;

use super::*;

/// A clock that stands where it is put; milliseconds.
#[derive(Default)]
struct Hand(AtomicI64);

#[async_trait]
impl Clock for Hand {
    fn now(&self) -> Timestamp {
        let millis = self.0.load(Ordering::Relaxed);
        let nanos = i32::try_from(millis % 1000).expect("below a thousand") * 1_000_000;
        Timestamp::from_unix(millis / 1000, nanos)
    }

    async fn sleep(&self, _: Duration) {}

    fn random(&self) -> f64 {
        0.5
    }
}

fn meter() -> (Arc<Hand>, Meter) {
    let hand = Arc::new(Hand(AtomicI64::new(1_000_000)));
    (Arc::clone(&hand), Meter::by(hand))
}

fn set(hand: &Hand, millis: i64) {
    hand.0.store(1_000_000 + millis, Ordering::Relaxed);
}

fn pass() -> PassCounts {
    PassCounts {
        gathered: 100,
        rejected: 40,
        duplicates: 10,
        fetched: 50,
        posted: 55,
        retrying: 4,
        dead: 1,
        malformed: 1,
        bytes: 6_000,
        lag: Lag {
            messages: 100,
            total: Duration::from_secs(50),
            longest: Duration::from_secs(3),
        },
        elapsed: Duration::from_millis(200),
        ..PassCounts::default()
    }
}

#[test]
fn passes_add_up() {
    let (hand, meter) = meter();
    meter.event(&Event::Started);
    meter.event(&Event::Pass(&pass()));
    set(&hand, 20_000);
    meter.event(&Event::Pass(&pass()));
    set(&hand, 30_000);
    let figures = meter.figures();
    let counts = Counts {
        passes: 2,
        received: 200,
        accepted: 118,
        rejected: 80,
        duplicates: 20,
        malformed: 2,
        posted: 110,
        retried: 8,
        dead: 2,
        files_in: 100,
        bytes_in: 12_000,
        files_out: 0,
        bytes_out: 0,
    };
    assert_eq!(figures.counts, counts);
    assert_eq!(figures.at, 1_030_000);
    assert_eq!(figures.started, Some(1_000_000));
    assert_eq!(figures.last_message, Some(1_020_000));
    assert_eq!(figures.last_transfer, Some(1_020_000));
    let recent = figures.recent;
    // Thirty seconds old, so measured over thirty seconds.
    assert!((recent.message_rate - 200.0 / 30.0).abs() < 1e-9);
    assert!((recent.byte_rate_in - 400.0).abs() < 1e-9);
    assert_eq!(recent.transfer_rate, Some(30_000.0));
    assert_eq!((recent.lag, recent.lag_longest), (0.5, 3.0));
    assert_eq!(recent.rejected_percent, 30.0);
}

#[test]
fn rates_forget_after_a_minute_and_shares_after_five() {
    let (hand, meter) = meter();
    meter.event(&Event::Started);
    meter.event(&Event::Pass(&pass()));
    set(&hand, 61_000);
    let recent = meter.figures().recent;
    assert_eq!((recent.message_rate, recent.lag), (0.0, 0.5));
    set(&hand, 301_000);
    assert_eq!(meter.figures().recent, Recent::default());
    assert_eq!(meter.figures().counts.received, 100);
}

#[test]
fn trouble_lasts_until_something_works() {
    let (hand, meter) = meter();
    meter.event(&Event::Started);
    let paused = |seconds| Event::Paused {
        reason: "the password was refused",
        wait: Duration::from_secs(seconds),
    };
    meter.event(&paused(60));
    set(&hand, 60_000);
    meter.event(&paused(120));
    let trouble = Trouble {
        reason: "the password was refused".into(),
        since: 1_000_000,
        until: 1_180_000,
    };
    assert_eq!(meter.figures().trouble, Some(trouble));
    meter.event(&Event::Connection {
        side: Side::Origin,
        up: true,
    });
    let figures = meter.figures();
    assert_eq!(figures.trouble, None);
    assert!(figures.origin.is_some_and(|link| link.up));
    assert_eq!(figures.input, None);
}

#[test]
fn what_waits_is_kept_while_the_broker_can_not_say() {
    let (hand, meter) = meter();
    for queue in [Some(7), None] {
        meter.event(&Event::Waiting {
            queue,
            retry: 3,
            dead: 1,
        });
    }
    let waiting = meter.figures().waiting;
    assert_eq!(
        (waiting.queue, waiting.retry, waiting.dead),
        (Some(7), 3, 1)
    );
    set(&hand, 5_000);
    assert_eq!(meter.figures().last_activity, 1_000_000);
}

#[test]
fn figures_travel_as_json() {
    let (_, meter) = meter();
    meter.event(&Event::Started);
    meter.event(&Event::Pass(&pass()));
    let figures = meter.figures();
    let text = serde_json::to_string(&figures).expect("plain values");
    assert!(text.contains("\"last_message\":1000000"), "{text}");
    let back: Figures = serde_json::from_str(&text).expect("what was written");
    assert_eq!(back, figures);
    // An older or newer peer may know other fields.
    let bare: Figures = serde_json::from_str(r#"{"at": 5, "news": 1}"#).expect("enough");
    assert_eq!(bare.at, 5);
}

#[test]
fn observers_together_want_what_one_of_them_wants() {
    struct Chatty;
    impl Observer for Chatty {
        fn event(&self, _: &Event<'_>) {}
        fn wants_messages(&self) -> bool {
            true
        }
    }
    let (_, meter) = meter();
    let meter = Arc::new(meter);
    let alone = Together::new(vec![meter.clone()]);
    assert!(!alone.wants_messages());
    let both = Together::new(vec![meter.clone(), Arc::new(Chatty)]);
    assert!(both.wants_messages());
    assert_eq!(both.wants_waiting(), Some(COUNT_WAITING));
    both.event(&Event::Pass(&pass()));
    assert_eq!(meter.figures().counts.passes, 1);
}

#[derive(Debug)]
struct Used(u64);

impl Uses for Used {
    fn uses(&self) -> Vec<PluginUse> {
        vec![PluginUse {
            plugin: "mail".into(),
            received: self.0,
            ..PluginUse::default()
        }]
    }

    fn numbers(&self) -> BTreeMap<String, f64> {
        [("plugin_n".to_owned(), self.0 as f64)].into()
    }
}

#[test]
fn what_plugins_used_before_a_restart_counts() {
    let (_, meter) = meter();
    assert!(meter.figures().plugins.is_empty());
    let run = |bytes| meter.event(&Event::Plugins(&(Arc::new(Used(bytes)) as Arc<dyn Uses>)));
    run(7);
    run(5);
    let figures = meter.figures();
    assert_eq!(
        (figures.plugins.len(), figures.plugins[0].bytes_in),
        (1, 12)
    );
    // Asked twice, they are counted once.
    assert_eq!(meter.figures().plugins[0].bytes_in, 12);
    assert_eq!(figures.numbers["plugin_n"], 5.0);
}
