//! The users of brokers as `users.yaml` has them, made or only looked at.
//!
//! A broker that can't be asked fails its own users and no others.

use flow_broker::management::{Change, Management, Options, User};
use flow_config::{BrokerUsers, Credentials, Report, Role, SafeUrl};

use super::topology::{Became, Piece, What};
use crate::background::words::words;
use crate::{Engine, Error};

impl Engine {
    /// What is wrong with `users.yaml`; none where there is no such file. Asks no broker.
    pub fn check_users(&self) -> Option<Report> {
        match self.source().users() {
            Ok(brokers) if brokers.is_empty() => None,
            Ok(_) => Some(Report::default()),
            Err(report) => Some(report),
        }
    }

    /// Makes the users of `users.yaml`; with `dry` only finds out what there is to do.
    ///
    /// # Errors
    /// `users.yaml` or `credentials.conf` can't be used; what goes wrong with a user is in the piece.
    pub async fn declare_users(&self, dry: bool) -> Result<Vec<Piece>, Error> {
        let brokers = self.source().users().map_err(Error::Findings)?;
        let credentials = self.source().credentials().map_err(Error::Findings)?;
        let mut pieces = Vec::new();
        for broker in &brokers {
            match opened(broker, &credentials).await {
                Ok(management) => {
                    for (name, role) in &broker.users {
                        let piece = piece(broker, name);
                        let done = user(&management, broker, name, *role, &credentials, dry).await;
                        pieces.push(ended(piece, *role, done, dry));
                    }
                }
                Err(error) => {
                    let reason = words(&error);
                    let failed = |(name, _): &(String, Role)| Piece {
                        result: Became::Failed,
                        reason: Some(reason.clone()),
                        ..piece(broker, name)
                    };
                    pieces.extend(broker.users.iter().map(failed));
                }
            }
        }
        Ok(pieces)
    }
}

fn piece(broker: &BrokerUsers, name: &str) -> Piece {
    Piece {
        flow: None,
        what: What::User,
        name: name.to_owned(),
        broker: broker.broker.without_password(),
        bindings: Vec::new(),
        result: Became::Kept,
        reason: None,
    }
}

async fn opened(broker: &BrokerUsers, credentials: &Credentials) -> Result<Management, Error> {
    let found = credentials.get(&broker.broker).map_err(Error::Findings)?;
    let mut url = broker.broker.expose().clone();
    let password = found.password.as_ref();
    // Refused only for URLs without a host, which have no user either.
    let _ = url.set_password(password.map(flow_config::Secret::expose));
    let url = SafeUrl::parse(url.as_str()).unwrap_or_else(|_| broker.broker.clone());
    let options = Options {
        ca_file: broker.ca_file.clone(),
        ..Options::default()
    };
    let management = Management::new(&url, broker.management.as_ref(), &options)?;
    management.check().await?;
    Ok(management)
}

async fn user(
    management: &Management,
    broker: &BrokerUsers,
    name: &str,
    role: Role,
    credentials: &Credentials,
    dry: bool,
) -> Result<Change, Error> {
    let url = broker.url_of(name).ok();
    let found = url.as_ref().and_then(|url| credentials.find(url));
    let wanted = User {
        name: name.to_owned(),
        password: found.and_then(|found| found.password.clone()),
        role,
    };
    let done = management.user(&wanted, dry).await;
    match (done, url) {
        (Err(error), Some(url)) if error.kind() == flow_broker::Kind::Missing => {
            Err(Error::Findings(credentials.missing(&url).into()))
        }
        (done, _) => Ok(done?),
    }
}

fn ended(piece: Piece, role: Role, done: Result<Change, Error>, dry: bool) -> Piece {
    let (result, reason) = match done {
        Err(error) => (Became::Failed, words(&error)),
        Ok(change) if change.is_none() => (Became::Kept, format!("{role}, as it was")),
        Ok(change) => {
            let result = match dry {
                true => Became::Planned,
                false => Became::Declared,
            };
            (result, format!("{role}, {}", told(change, dry)))
        }
    };
    Piece {
        result,
        reason: Some(reason),
        ..piece
    }
}

/// What a change is, as it will be or was.
fn told(change: Change, dry: bool) -> String {
    if change.made {
        return match dry {
            true => "to be made".to_owned(),
            false => "made".to_owned(),
        };
    }
    let parts = [
        (change.password, "password"),
        (change.tags, "tags"),
        (change.rights, "permissions"),
    ];
    let parts: Vec<&str> = parts
        .iter()
        .filter(|(differs, _)| *differs)
        .map(|(_, what)| *what)
        .collect();
    let verb = match dry {
        true => "to be changed",
        false => "changed",
    };
    format!("{} {verb}", parts.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let change = Change {
            password: true,
            rights: true,
            ..Change::default()
        };
        assert_eq!(told(change, true), "password and permissions to be changed");
        let made = Change {
            made: true,
            rights: true,
            ..Change::default()
        };
        assert_eq!(told(made, false), "made");
    }
}
