//! Wires the ports of the loop to their adapters, and is all the CLI needs to know of the engine.
//!
//! It knows where things are ([`Directories`]), which plugins there are, and how to turn a validated
//! flow into a running worker. It prints nothing and reads no environment: variables are passed in.
//!
//! # On disk
//! - `<config>/<kind>/<name>.yaml`, `<config>/credentials.conf`, `<config>/plugins/<name>.wasm`
//! - `<state>/flows/<kind>/<name>.db`: one store per flow; `<state>/broker.db`: the embedded broker
//! - `<state>/flow.sock`, `flow.lock`, `flow.started`, `log/`: the background process ([`background`])
//! - `<state>/flows/<kind>/<name>.disabled`: the flow is not started
//! - `<cache>/compiled`: compiled plugins, safe to delete

pub mod background;
mod brokers;
mod builtin;
mod debug;
mod embedded;
mod engine;
mod entrances;
mod error;
mod fetch;
pub mod figures;
pub mod health;
mod lazy;
pub mod metrics;
mod places;
mod plugins;
mod posting;
mod secrets;
mod trial;
mod unready;
mod upkeep;
mod vip;

pub use brokers::{Became, Piece, What};
pub use debug::Debugging;
pub use engine::{Directories, Engine, RunOptions};
pub use error::Error;
pub use fetch::fetch;
pub use flow_broker::embedded::QueueStatus;
pub use flow_host::{Played, Recorder, ReplayOptions, ReplaySummary, Session, signature};
pub use flow_runtime::{Drain, Entry, Shelf, Store, Summary};
pub use plugins::{PluginInfo, PluginOrigin};
pub use posting::Paths;
pub use trial::{Difference, Trial};
