//! Mosquitto on the bench, behind a proxy that cuts connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use flow_broker::embedded::Declaration;
use flow_broker::mqtt::{MqttBroker, Options};
use flow_config::{SafeUrl, Secret};
use flow_runtime::ports::{Consumer, Failure, Publisher};
use flow_testkit::{Cutter, Mosquitto};

use crate::bench::{Abilities, Bench, LIMIT, Who};

pub(crate) struct Mqtt {
    server: Mosquitto,
    cutter: Cutter,
    broker: MqttBroker,
}

impl Drop for Mqtt {
    #[expect(clippy::print_stderr, reason = "the test failed, and this says why")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.server.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(80)..];
            eprintln!("the last mosquitto logged:\n{}", tail.join("\n"));
        }
    }
}

fn broker(port: u16, user: &str, password: &str) -> MqttBroker {
    let options = Options {
        timeout: Duration::from_secs(10),
        patience: LIMIT,
        ..Options::default()
    };
    let url = SafeUrl::parse(&format!("mqtt://{user}@127.0.0.1:{port}/")).unwrap();
    MqttBroker::open(&url, Some(Secret::new(password)), options).unwrap()
}

impl Mqtt {
    fn broker_as(&self, who: Who) -> MqttBroker {
        let (user, password) = match who {
            Who::Impostor => (Mosquitto::USER, "wrong"),
            Who::Guest => (Mosquitto::GUEST, Mosquitto::GUEST_PASSWORD),
        };
        broker(self.cutter.port(), user, password)
    }
}

impl Bench for Mqtt {
    const ABILITIES: Abilities = Abilities {
        depth: false,
        remembers_keys: false,
        confirm_is_durable: false,
        passes_on: false,
        clients_outlive: true,
        holds_over_cuts: true,
        users: true,
    };

    async fn start() -> Self {
        let server = Mosquitto::start();
        let cutter = Cutter::to(server.port());
        let broker = broker(cutter.port(), Mosquitto::USER, Mosquitto::PASSWORD);
        Self {
            server,
            cutter,
            broker,
        }
    }

    async fn consumer(
        &self,
        declaration: &Declaration,
        prefetch: usize,
    ) -> Result<Box<dyn Consumer>, Failure> {
        Ok(Box::new(self.broker.consumer(declaration, prefetch).await?))
    }

    async fn publisher(&self, exchange: &str) -> Result<Box<dyn Publisher>, Failure> {
        Ok(Box::new(self.broker.publisher(exchange)?))
    }

    async fn declare(&self, declaration: &Declaration) -> Result<(), Failure> {
        Ok(self.broker.declare(declaration).await?)
    }

    async fn delete_queue(&self, queue: &str) -> Result<bool, Failure> {
        Ok(self.broker.delete_queue(queue).await?)
    }

    async fn publisher_as(&self, who: Who, exchange: &str) -> Result<Box<dyn Publisher>, Failure> {
        Ok(Box::new(self.broker_as(who).publisher(exchange)?))
    }

    async fn consumer_as(
        &self,
        who: Who,
        declaration: &Declaration,
    ) -> Result<Box<dyn Consumer>, Failure> {
        Ok(Box::new(
            self.broker_as(who).consumer(declaration, 1).await?,
        ))
    }

    async fn post_raw(&self, exchange: &str, topic: &str, body: &[u8]) {
        let topic = format!("{exchange}/{}", topic.replace('.', "/"));
        raw_publish(self.server.port(), &topic, body);
    }

    async fn save(&self) {
        self.server.save();
    }

    fn remembers_queues(&self) -> Option<bool> {
        // 2.0.12 says to have repaired that for clients that reconnect.
        (self.server.version() < (2, 0, 12)).then_some(false)
    }

    async fn kill(&mut self) {
        self.server.kill();
    }

    async fn restart(&mut self) {
        self.server.restart();
    }

    fn cutter(&self) -> Option<&Cutter> {
        Some(&self.cutter)
    }
}

/// Publishes by hand, independently of the code under test: MQTT 5, QoS 1, no properties.
fn raw_publish(port: u16, topic: &str, body: &[u8]) {
    fn text(text: &str) -> Vec<u8> {
        let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes
    }
    let mut connect = b"\x00\x04MQTT\x05\xc2\x00\x00\x00".to_vec();
    for part in ["by-hand", Mosquitto::USER, Mosquitto::PASSWORD] {
        connect.extend(text(part));
    }
    let mut publish = text(topic);
    publish.extend([0, 1, 0]);
    publish.extend(body);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    for (first, packet, answer) in [(0x10, connect, 0x20), (0x32, publish, 0x40)] {
        assert!(
            packet.len() < 128,
            "one byte has to be enough for the length"
        );
        stream
            .write_all(&[first, u8::try_from(packet.len()).unwrap()])
            .unwrap();
        stream.write_all(&packet).unwrap();
        let mut head = [0; 2];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head[0], answer);
        let mut rest = vec![0; usize::from(head[1])];
        stream.read_exact(&mut rest).unwrap();
    }
}
