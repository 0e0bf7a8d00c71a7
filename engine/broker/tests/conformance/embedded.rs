//! The embedded broker on the bench.
//!
//! It is a library: to kill it is to leave its files as they are at that instant. That is what a copy
//! of them is, and it starts again from the copy.

use std::path::PathBuf;

use flow_broker::embedded::{Declaration, EmbeddedBroker, Options};
use flow_runtime::ports::{Consumer, Failure, Publisher};
use flow_testkit::Cutter;

use crate::bench::{Abilities, Bench, Who, outgoing};

pub(crate) struct Embedded {
    directory: tempfile::TempDir,
    life: u32,
    broker: Option<EmbeddedBroker>,
}

impl Embedded {
    fn path(&self, life: u32) -> PathBuf {
        self.directory
            .path()
            .join(life.to_string())
            .join("broker.db")
    }

    fn broker(&self) -> &EmbeddedBroker {
        self.broker.as_ref().expect("it was not killed")
    }

    fn open(&mut self) {
        let broker = EmbeddedBroker::open(self.path(self.life), Options::default()).unwrap();
        self.broker = Some(broker);
    }
}

impl Bench for Embedded {
    const ABILITIES: Abilities = Abilities {
        depth: true,
        remembers_keys: true,
        confirm_is_durable: true,
        passes_on: true,
        clients_outlive: false,
        holds_over_cuts: true,
        users: false,
    };

    async fn start() -> Self {
        let mut bench = Self {
            directory: tempfile::tempdir().unwrap(),
            life: 0,
            broker: None,
        };
        bench.open();
        bench
    }

    async fn consumer(
        &self,
        declaration: &Declaration,
        prefetch: usize,
    ) -> Result<Box<dyn Consumer>, Failure> {
        Ok(Box::new(
            self.broker().consumer(declaration, prefetch).await?,
        ))
    }

    async fn publisher(&self, exchange: &str) -> Result<Box<dyn Publisher>, Failure> {
        Ok(Box::new(self.broker().publisher(exchange)?))
    }

    async fn declare(&self, declaration: &Declaration) -> Result<(), Failure> {
        Ok(self.broker().declare(declaration).await?)
    }

    async fn delete_queue(&self, queue: &str) -> Result<bool, Failure> {
        Ok(self.broker().delete_queue(queue).await?)
    }

    async fn publisher_as(&self, who: Who, _: &str) -> Result<Box<dyn Publisher>, Failure> {
        unreachable!("there is no {who:?}")
    }

    async fn consumer_as(&self, who: Who, _: &Declaration) -> Result<Box<dyn Consumer>, Failure> {
        unreachable!("there is no {who:?}")
    }

    async fn post_raw(&self, exchange: &str, _: &str, body: &[u8]) {
        let mut publisher = self.broker().publisher(exchange).unwrap();
        publisher.post(&[outgoing("raw")]).await.unwrap();
        rusqlite::Connection::open(self.path(self.life))
            .unwrap()
            .execute(
                "UPDATE message SET body = ?1 WHERE id = (SELECT max(id) FROM message)",
                [body],
            )
            .unwrap();
    }

    async fn save(&self) {
        unreachable!("what is confirmed is on the disk")
    }

    async fn kill(&mut self) {
        let from = self.path(self.life);
        self.life += 1;
        let to = self.path(self.life);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        for suffix in ["", "-wal"] {
            let file = |path: &PathBuf| format!("{}{suffix}", path.display());
            std::fs::copy(file(&from), file(&to)).unwrap();
        }
        self.broker = None;
    }

    async fn restart(&mut self) {
        self.open();
    }

    fn cutter(&self) -> Option<&Cutter> {
        None
    }
}
