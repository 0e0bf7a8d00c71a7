//! Transfers that take long: a flow whose bytes move is at work, one whose bytes do not hangs.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flow_testkit::wait;

use crate::scene::{SOON, Scene};

/// After so long a flow that does nothing hangs.
const HUNG: Duration = Duration::from_secs(2);

/// A server of one file that never ends: bytes of it come as long as it is let.
struct Slow {
    port: u16,
    flows: Arc<AtomicBool>,
}

impl Slow {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let flows = Arc::new(AtomicBool::new(true));
        let seen = Arc::clone(&flows);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let flows = Arc::clone(&seen);
                std::thread::spawn(move || serve(stream, &flows));
            }
        });
        Self { port, flows }
    }
}

/// Ends with the connection.
fn serve(mut stream: TcpStream, flows: &AtomicBool) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).ok()?;
    loop {
        wait::pause(Duration::from_millis(20));
        if flows.load(Ordering::Relaxed) {
            stream.write_all(&[b'x'; 100]).ok()?;
        }
    }
}

/// A flow that fetches what another announces at a slow server.
fn fetching(server: &Slow) -> Scene {
    let scene = Scene::new();
    let port = server.port;
    let base = format!("post_baseUrl: http://127.0.0.1:{port}/\npost_baseDir: ${{HOME}}/a\n");
    scene.watch("a", &base);
    scene.flow.add_flow(
        "subscribe/slow",
        &format!(
            "exchange: xs_a\ndirectory: ${{HOME}}/here\nacceptSizeWrong: on\ntimeout: 300s\n\
             housekeeping: 1s\nrunStateThreshold_hung: {}s\n",
            HUNG.as_secs()
        ),
    );
    scene
}

#[test]
fn a_transfer_is_well_while_its_bytes_move_and_hangs_when_they_do_not() {
    let server = Slow::start();
    let scene = fetching(&server);
    scene.run(&["start"], 0);
    scene.put("a", "large.bin");
    wait::until("the transfer to begin", SOON, || {
        let here = std::fs::read_dir(scene.flow.path("here")).ok()?;
        (here.count() > 0).then_some(())
    });
    let begun = Instant::now();
    wait::until("a flow at work for long", SOON, || {
        let well = scene.states()["subscribe/slow"] == "running";
        (well && begun.elapsed() > 4 * HUNG).then_some(())
    });
    server.flows.store(false, Ordering::Relaxed);
    scene.until("subscribe/slow", "hung");
    server.flows.store(true, Ordering::Relaxed);
    scene.until("subscribe/slow", "running");
    scene.run(&["stop", "--grace", "0"], 1);
}

#[test]
fn a_flow_in_a_terminal_says_how_far_a_long_transfer_is() {
    let server = Slow::start();
    let scene = fetching(&server);
    let mut fetching = scene.flow.spawn(&["foreground", "subscribe/slow"]);
    fetching.wait_for("started", SOON);
    let watch = ["foreground", "watch/a", "--log-level", "debug"];
    let watching = scene.flow.spawn(&watch);
    flow_tests::watches(&watching, SOON);
    scene.put("a", "large.bin");
    fetching.wait_for("progress  large.bin: ", SOON);
    drop(watching);
}
