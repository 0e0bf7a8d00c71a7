//! What stands beside a flow's loop and lets messages in: the listener its `listen` asks for, or the
//! lines of the program that runs it as a helper.

use std::sync::Arc;

use flow_config::{Flow, Listen};
use flow_listen::{Doors, Peers, Place, Requests, Sockets, Stdio, Tls};
use flow_runtime::Entrance;
use flow_runtime::ports::Lines;

/// The ways into a flow, and out of it, that are not its loop's.
#[derive(Default)]
pub(crate) struct Outside {
    pub(crate) lines: Option<Arc<dyn Lines>>,
    pub(crate) entrance: Option<Box<dyn Entrance>>,
}

/// Opens where a helper writes to.
pub(crate) type Out = fn() -> tokio::io::Stdout;

/// Those of `flow`; as a `helper` it listens nowhere else.
pub(crate) fn of(flow: &Flow, helper: Option<Out>, doors: &Doors) -> Outside {
    let name = flow.name.to_string();
    let with_lines = |make: &dyn Fn(Arc<Peers>) -> Box<dyn Entrance>| {
        let peers = Peers::new(flow.timeout);
        Outside {
            lines: Some(Arc::clone(&peers) as Arc<dyn Lines>),
            entrance: Some(make(peers)),
        }
    };
    if let Some(out) = helper {
        return with_lines(&|peers| Box::new(Stdio::new(peers, name.clone(), out)));
    }
    match &flow.listen {
        None => Outside::default(),
        Some(Listen::Socket(path)) => {
            with_lines(&|peers| Box::new(Sockets::new(peers, path.clone(), name.clone())))
        }
        Some(Listen::Http(listen)) => {
            let tls = listen.tls.clone().map(|(cert, key)| Tls { cert, key });
            let place = Place {
                host: listen.host.clone(),
                port: listen.port,
                path: listen.path.clone(),
                tls,
            };
            let most = usize::try_from(listen.body_max).unwrap_or(usize::MAX);
            let entrance = Requests::new(doors.clone(), place, most, name);
            Outside {
                lines: None,
                entrance: Some(Box::new(entrance)),
            }
        }
    }
}
