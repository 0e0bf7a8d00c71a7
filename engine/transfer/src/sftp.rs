//! SFTP: connecting, checking who the server is, and logging in.
//!
//! | Option of the credential | What |
//! | --- | --- |
//! | `ssh_keyfile` | the private key; the password of the line is its passphrase, if it has one |
//! | `sftp_compat_mode` | one request at a time, for servers that can't take more |
//!
//! Without a key file: the password, or else the agent and the keys of [`Ssh`]. `scp`, `ssh` and `fish`
//! are other names of the same.
//!
//! # Who the server is
//! A key that is known for a host ([`Ssh::known_hosts`]) is the only one taken from it; another one is
//! refused, whatever `tlsRigour` says. The first key of an unknown host is taken and remembered, as
//! sr3 does, except with `tlsRigour: strict`. Without a file it is remembered as long as the flow runs.
//!
//! Deliberately not done: `~/.ssh/config`, patterns and authorities in `known_hosts`.

mod failure;
mod hosts;
mod session;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_config::{Credential, TlsRigour};
use russh::client::{self, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{PrivateKeyWithHashAlg, load_secret_key};
use russh::{Preferred, SshId};
use russh_sftp::client::RawSftpSession;
use tokio::sync::Semaphore;

use self::hosts::{Checker, Hosts};
use self::session::Session;
use crate::{Error, Protocol, Remote, Settings, Site, Ssh};

/// Logins under way at the same time: servers drop strangers when there are many (`MaxStartups`).
const LOGINS: usize = 4;

/// A server that says nothing for three times this is gone.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Longer than any `timeout`: the core watches the time.
const NEVER: u64 = 7 * 86_400;

/// The protocol.
#[derive(Debug)]
pub struct Sftp {
    ssh: Ssh,
    hosts: Arc<Hosts>,
    logins: Semaphore,
}

impl Sftp {
    /// With what the flow says about keys and hosts.
    pub fn new(settings: &Settings) -> Self {
        let strict = settings.tls.rigour == TlsRigour::Strict;
        Self {
            ssh: settings.ssh.clone(),
            hosts: Arc::new(Hosts::new(settings.ssh.known_hosts.clone(), strict)),
            logins: Semaphore::new(LOGINS),
        }
    }
}

#[async_trait]
impl Protocol for Sftp {
    fn schemes(&self) -> &'static [&'static str] {
        &["sftp", "scp", "ssh", "fish"]
    }

    fn has_home(&self) -> bool {
        true
    }

    async fn connect(
        &self,
        site: &Site,
        credential: Option<&Credential>,
    ) -> Result<Box<dyn Remote>, Error> {
        let Some(credential) = credential.filter(|found| !found.user.is_empty()) else {
            // Not `Config`: a message may name any site, and must not stop the flow.
            return Err(Error::temporary(format!(
                "nobody to log in to `{site}` as: the URL and credentials.conf name no user"
            )));
        };
        let _permit = self.logins.acquire().await;
        let mut handle = self.reach(site).await?;
        self.log_in(&mut handle, site, credential).await?;
        let failed = |error: russh::Error| {
            Error::temporary(format!("`{site}` does not start its SFTP part: {error}"))
        };
        let channel = handle.channel_open_session().await.map_err(failed)?;
        channel
            .request_subsystem(true, "sftp")
            .await
            .map_err(failed)?;
        let mut sftp = RawSftpSession::new(channel.into_stream());
        sftp.set_timeout(NEVER);
        let greeting = format!("greeting `{site}`");
        let version = sftp
            .init()
            .await
            .map_err(|error| failure::of(error, &greeting))?;
        let has = |name: &str| version.extensions.contains_key(name);
        let mut piece = session::PIECE_USUAL;
        if has("limits@openssh.com")
            && let Ok(limits) = sftp.limits().await
        {
            let most = |limit: u64| if limit == 0 { u64::MAX } else { limit };
            let most = most(limits.max_read_len).min(most(limits.max_write_len));
            piece = u32::try_from(most.min(session::PIECE_MAX.into()))
                .unwrap_or(piece)
                .max(1 << 10);
            sftp.set_limits(limits.into());
        }
        let can = session::Can {
            posix_rename: has("posix-rename@openssh.com"),
            hard_link: has("hardlink@openssh.com"),
            at_once: match credential.option("sftp_compat_mode") {
                Some(_) => 1,
                None => session::AT_ONCE,
            },
            piece,
        };
        Ok(Box::new(Session::new(sftp, handle, can)))
    }
}

impl Sftp {
    /// A connection to whom `site` is known to be; nobody is logged in yet.
    async fn reach(&self, site: &Site) -> Result<Handle<Checker>, Error> {
        let host = site
            .host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = site.port.unwrap_or(22);
        let mut preferred = Preferred::default();
        let known = self.hosts.known(&host, port)?;
        if !known.is_empty() {
            // Other kinds of keys would be refused anyway.
            let kinds = preferred.key.iter();
            let kinds = kinds.filter(|kind| hosts::is_for(&known, kind));
            preferred.key = kinds.cloned().collect::<Vec<_>>().into();
        }
        let config = client::Config {
            client_id: SshId::Standard(concat!("SSH-2.0-flow_", env!("CARGO_PKG_VERSION")).into()),
            keepalive_interval: Some(KEEPALIVE),
            preferred,
            nodelay: true,
            ..client::Config::default()
        };
        let checker = Checker::new(Arc::clone(&self.hosts), host.clone(), port);
        let refusal = checker.refusal();
        let connected = client::connect(Arc::new(config), (host.as_str(), port), checker).await;
        connected.map_err(|error| match (refusal.take(), error) {
            (Some(refusal), _) => refusal,
            (None, russh::Error::IO(error)) => {
                Error::temporary(format!("no connection to `{site}`: {error}"))
            }
            (None, error) => Error::temporary(format!("no safe connection to `{site}`: {error}")),
        })
    }

    async fn log_in(
        &self,
        handle: &mut Handle<Checker>,
        site: &Site,
        credential: &Credential,
    ) -> Result<(), Error> {
        let lost = |error: russh::Error| {
            Error::temporary(format!(
                "the connection broke while logging in to `{site}`: {error}"
            ))
        };
        let user = credential.user.as_str();
        let password = credential.password.as_ref().map(|secret| secret.expose());
        let mut tried = Vec::new();
        if let Some(file) = credential.option("ssh_keyfile") {
            let path = file.expose();
            let key = load_secret_key(path, password.filter(|word| !word.is_empty()));
            let key = key.map_err(|error| {
                Error::config(format!("`ssh_keyfile` {path} can't be used: {error}"))
            })?;
            if offer(handle, user, key).await.map_err(lost)? {
                return Ok(());
            }
            tried.push("the key of `ssh_keyfile`");
        }
        if let Some(password) = password {
            if self.say(handle, user, password).await.map_err(lost)? {
                return Ok(());
            }
            tried.push("the password");
        } else if tried.is_empty() {
            if self.ask_agent(handle, user).await {
                return Ok(());
            }
            for file in &self.ssh.keys {
                // Keys with a passphrase are the agent's.
                let Ok(key) = load_secret_key(file, None) else {
                    continue;
                };
                if offer(handle, user, key).await.map_err(lost)? {
                    return Ok(());
                }
            }
            tried.push("the agent and the keys of this user");
        }
        Err(Error::auth(format!(
            "`{site}` refuses the login; tried: {}",
            tried.join(", ")
        )))
    }

    /// Says the password: as such, or as the answer to the one question some servers ask instead.
    async fn say(
        &self,
        handle: &mut Handle<Checker>,
        user: &str,
        password: &str,
    ) -> Result<bool, russh::Error> {
        if handle
            .authenticate_password(user, password)
            .await?
            .success()
        {
            return Ok(true);
        }
        let mut answer = handle
            .authenticate_keyboard_interactive_start(user, None)
            .await?;
        for _ in 0..4 {
            let prompts = match answer {
                KeyboardInteractiveAuthResponse::Success => return Ok(true),
                KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
            };
            let answers = prompts.iter().map(|prompt| match prompt.echo {
                // What may be seen on a screen is no password.
                true => String::new(),
                false => password.to_owned(),
            });
            answer = handle
                .authenticate_keyboard_interactive_respond(answers.collect())
                .await?;
        }
        Ok(false)
    }

    /// Whether a key of the agent opens the door.
    async fn ask_agent(&self, handle: &mut Handle<Checker>, user: &str) -> bool {
        let Some(socket) = &self.ssh.agent else {
            return false;
        };
        let asked = async {
            let mut agent = AgentClient::connect_uds(socket).await?;
            let identities = agent.request_identities().await?;
            Ok::<_, russh::keys::Error>((agent, identities))
        };
        let (mut agent, identities) = match asked.await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "The SSH agent does not answer.");
                return false;
            }
        };
        let hash = handle.best_supported_rsa_hash().await.ok().flatten();
        for identity in identities {
            let AgentIdentity::PublicKey { key, .. } = identity else {
                continue;
            };
            let hash = hash.flatten().filter(|_| key.algorithm().is_rsa());
            let tried = handle.authenticate_publickey_with(user, key, hash, &mut agent);
            if tried.await.is_ok_and(|result| result.success()) {
                return true;
            }
        }
        false
    }
}

async fn offer(
    handle: &mut Handle<Checker>,
    user: &str,
    key: russh::keys::PrivateKey,
) -> Result<bool, russh::Error> {
    let hash = match key.algorithm().is_rsa() {
        true => handle.best_supported_rsa_hash().await?.flatten(),
        false => None,
    };
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
    Ok(handle.authenticate_publickey(user, key).await?.success())
}
