//! Which queues a topic goes to: exchanges and bindings, kept in memory.
//!
//! A cache and nothing more: it is read from the database whenever the counter `topology` has moved,
//! and is dropped with every transaction that did not commit. Topics repeat, so the queues of each
//! are remembered too.

use std::collections::HashMap;
use std::sync::Arc;

use flow_message::topic_matches;
use rusqlite::Connection;

/// Topics remembered per exchange; beyond this they are forgotten all at once, which costs one
/// matching each.
const REMEMBERED: usize = 4096;

/// Exchanges and bindings as of one version of the database.
#[derive(Debug, Default)]
pub(super) struct Topology {
    version: Option<i64>,
    exchanges: HashMap<String, Exchange>,
}

#[derive(Debug)]
struct Exchange {
    id: i64,
    bindings: Vec<(String, i64)>,
    known: HashMap<String, Arc<[i64]>>,
}

/// Where one message goes.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// The exchange's id.
    pub(super) exchange: i64,
    /// Ids of the queues, ascending, each once.
    pub(super) queues: Arc<[i64]>,
}

impl Topology {
    /// Reads the tables again unless this is `version` already.
    pub(super) fn refresh(
        &mut self,
        connection: &Connection,
        version: i64,
    ) -> rusqlite::Result<()> {
        if self.version == Some(version) {
            return Ok(());
        }
        self.forget();
        let mut names = HashMap::new();
        let mut statement = connection.prepare_cached("SELECT id, name FROM exchange")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
            names.insert(id, name.clone());
            self.exchanges.insert(
                name,
                Exchange {
                    id,
                    bindings: Vec::new(),
                    known: HashMap::new(),
                },
            );
        }
        let mut statement =
            connection.prepare_cached("SELECT exchange, pattern, queue FROM binding")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            if let Some(exchange) = names.get(&id).and_then(|name| self.exchanges.get_mut(name)) {
                exchange.bindings.push((row.get(1)?, row.get(2)?));
            }
        }
        self.version = Some(version);
        Ok(())
    }

    /// Forgets everything: what was read may not have been committed.
    pub(super) fn forget(&mut self) {
        self.version = None;
        self.exchanges.clear();
    }

    /// Where `topic` goes; none if the exchange is not declared.
    pub(super) fn route(&mut self, exchange: &str, topic: &str) -> Option<Route> {
        let exchange = self.exchanges.get_mut(exchange)?;
        if let Some(queues) = exchange.known.get(topic) {
            return Some(Route {
                exchange: exchange.id,
                queues: Arc::clone(queues),
            });
        }
        let mut queues: Vec<i64> = exchange
            .bindings
            .iter()
            .filter(|(pattern, _)| topic_matches(pattern, topic))
            .map(|(_, queue)| *queue)
            .collect();
        queues.sort_unstable();
        queues.dedup();
        let queues: Arc<[i64]> = queues.into();
        if exchange.known.len() >= REMEMBERED {
            exchange.known.clear();
        }
        exchange.known.insert(topic.to_owned(), Arc::clone(&queues));
        Some(Route {
            exchange: exchange.id,
            queues,
        })
    }
}
