//! Real servers, each started privately: own directory, own ports on 127.0.0.1, no system service.

mod authority;
mod azure;
mod cache;
mod dovecot;
mod ftp;
mod kits;
mod maildir;
mod mosquitto;
mod nginx;
mod rabbitmq;
mod rspamd_helper;
mod s3;
pub mod sandbox;
mod script;
mod sftp;
mod sr3;
#[cfg(test)]
mod tests;
mod venv;

pub use authority::Authority;
pub(crate) use authority::write_private;
pub use azure::{Azure, StoredBlob};
pub use dovecot::Dovecot;
pub use ftp::{Ftp, FtpManner};
pub use kits::{link_js_tools, link_python_tools};
pub use maildir::StoredMail;
pub use mosquitto::Mosquitto;
pub use nginx::Nginx;
pub use rabbitmq::{RabbitMq, RabbitMqSetup};
pub use rspamd_helper::RspamdHelper;
pub use s3::{Object, S3};
pub use sandbox::Sandbox;
pub use sftp::Sftp;
pub use sr3::Sr3;
