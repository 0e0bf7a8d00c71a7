//! The control socket: where it is bound, and who may speak.
//!
//! The path of a socket has room for about a hundred bytes, less than that of a directory. A longer
//! one is reached through the open directory.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tokio::net::{UnixListener, UnixStream};

use super::room::has_run_out;

/// What fits into a socket's address everywhere.
const LONGEST: usize = 100;

/// The socket of the background process; its file goes with it.
#[derive(Debug)]
pub(super) struct Listener {
    path: PathBuf,
    socket: UnixListener,
    /// Given up for who comes when no more files may be open, so that flows can be stopped then.
    spare: Mutex<Option<File>>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // One that stays behind is taken for what it is by the next process.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Listener {
    /// The next one who may speak. Others are sent away without a word.
    pub(super) async fn accept(&self) -> UnixStream {
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => {
                    self.keep_spare();
                    match stream.peer_cred() {
                        Ok(peer) if may_speak(peer.uid()) => return stream,
                        Ok(peer) => tracing::warn!(
                            uid = peer.uid(),
                            "Another user tried to control flows and was refused."
                        ),
                        Err(error) => {
                            tracing::warn!(%error, "Somebody who can't be named tried to control flows.");
                        }
                    }
                }
                Err(error) if has_run_out(&error) && self.give_spare() => {}
                Err(error) => {
                    tracing::error!(%error, "The control socket fails; it is tried again.");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// None where no more files may be open; there is another try at the next connection.
    fn keep_spare(&self) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_none() {
            *spare = File::open("/dev/null").ok();
        }
    }

    /// Says whether there was one.
    fn give_spare(&self) -> bool {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.take().is_some()
    }
}

/// Only who started the process controls it: flows run with that user's rights and secrets.
fn may_speak(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw()
}

/// Binds the socket at `path`, mode 600, in place of one that was left behind. The caller holds the
/// lock, so nobody answers at that one any more.
pub(super) fn listen(path: &Path) -> io::Result<Listener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let address = Address::of(path)?;
    let socket = UnixListener::bind(&address.path)?;
    // Who connected before this is refused by their user id all the same.
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let listener = Listener {
        path: path.to_owned(),
        socket,
        spare: Mutex::default(),
    };
    listener.keep_spare();
    Ok(listener)
}

/// Connects to the socket at `path`.
pub(super) fn connect(path: &Path) -> io::Result<Blocking> {
    Blocking::connect(&Address::of(path)?.path)
}

/// A path short enough for a socket.
struct Address {
    path: PathBuf,
    // Open for as long as the path is used.
    _directory: Option<File>,
}

impl Address {
    fn of(path: &Path) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self {
                path: path.to_owned(),
                _directory: None,
            });
        }
        let directory = File::open(parent)?;
        let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
        Ok(Self {
            path: Path::new(&link).join(name),
            _directory: Some(directory),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_user_may_speak() {
        let own = rustix::process::geteuid().as_raw();
        assert!(may_speak(own));
        assert!(!may_speak(own + 1));
        // Root reaches every file, but these are not its flows.
        assert_eq!(may_speak(0), own == 0);
    }

    #[tokio::test]
    async fn a_socket_is_private_replaces_a_stale_one_and_stands_long_paths() {
        let directory = tempfile::tempdir().expect("a directory");
        let long = directory.path().join("a-long-name/".repeat(20));
        std::fs::create_dir_all(&long).expect("it can be made");
        for place in [directory.path(), &long] {
            let path = place.join("flow.sock");
            drop(std::os::unix::net::UnixListener::bind(
                &Address::of(&path).expect("a path").path,
            ));
            assert!(path.exists(), "a stale socket is there");
            assert!(connect(&path).is_err());
            let listener = listen(&path).expect("it takes the place");
            let mode = std::fs::metadata(&path)
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
            let accepted = tokio::join!(listener.accept(), async {
                connect(&path).expect("somebody answers")
            });
            drop(accepted);
            drop(listener);
            assert!(!path.exists(), "it cleans up");
        }
    }
}
