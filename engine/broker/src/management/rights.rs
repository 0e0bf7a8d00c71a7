//! What roles may do, as sr3 has it, and whether a password is the one the broker knows.

use flow_config::{Role, Secret};
use ring::digest;
use serde_json::Value;

/// Expressions of the exchanges and queues somebody may configure, write to and read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Make and delete.
    pub configure: String,
    /// Post to an exchange, bind a queue.
    pub write: String,
    /// Consume a queue, bind to an exchange.
    pub read: String,
}

impl Rights {
    /// Those of a role; `name` is the user's, whose queues begin with `q_` and it, and whose exchanges
    /// with `xs_` and it.
    pub fn of(role: Role, name: &str) -> Self {
        let name = escaped(name);
        let read = format!("^q_{name}.*|^x[lrs]_{name}.*|^x.*public$");
        let (configure, write, read) = match role {
            Role::Admin | Role::Feeder => (".*".to_owned(), ".*".to_owned(), ".*".to_owned()),
            Role::Source => {
                let own = format!("^q_{name}.*|^xs_{name}.*");
                (own.clone(), own, read)
            }
            Role::Subscriber => (
                format!("^q_{name}.*"),
                format!("^q_{name}.*|^xs_{name}$"),
                read,
            ),
        };
        Self {
            configure,
            write,
            read,
        }
    }

    /// Whether the broker has them so.
    pub(super) fn are(&self, found: &Value) -> bool {
        let is = |what: &str, wanted: &str| found[what].as_str() == Some(wanted);
        is("configure", &self.configure) && is("write", &self.write) && is("read", &self.read)
    }
}

/// A name inside an expression: a dot in it is a dot and nothing else.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if ".+*?()|[]{}^$\\".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// Whether the broker's hash is one of `password`. One of a kind unknown here is taken for another.
pub(super) fn has_password(user: &Value, password: &Secret) -> bool {
    let algorithm = match user["hashing_algorithm"].as_str() {
        Some("rabbit_password_hashing_sha256") => &digest::SHA256,
        Some("rabbit_password_hashing_sha512") => &digest::SHA512,
        _ => return false,
    };
    let Some(salted) = super::decoded(&user["password_hash"]) else {
        return false;
    };
    let Some((salt, hash)) = salted.split_at_checked(4) else {
        return false;
    };
    let mut context = digest::Context::new(algorithm);
    context.update(salt);
    context.update(password.expose().as_bytes());
    context.finish().as_ref() == hash
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_are_those_of_sr3() {
        let all = Rights::of(Role::Feeder, "feed");
        assert_eq!(all, Rights::of(Role::Admin, "x"));
        assert_eq!((all.configure.as_str(), all.read.as_str()), (".*", ".*"));
        let source = Rights::of(Role::Source, "alice");
        assert_eq!(source.configure, "^q_alice.*|^xs_alice.*");
        assert_eq!(source.write, source.configure);
        assert_eq!(source.read, "^q_alice.*|^x[lrs]_alice.*|^x.*public$");
        let subscriber = Rights::of(Role::Subscriber, "b.c");
        assert_eq!(subscriber.configure, "^q_b\\.c.*");
        assert_eq!(subscriber.write, "^q_b\\.c.*|^xs_b\\.c$");
    }

    #[test]
    fn a_password_is_known_by_its_hash() {
        let mut salted = vec![1, 2, 3, 4];
        salted.extend(digest::digest(&digest::SHA256, b"\x01\x02\x03\x04pw").as_ref());
        let user = |algorithm: &str, hash: &[u8]| json!({"hashing_algorithm": algorithm, "password_hash": STANDARD.encode(hash)});
        let sha256 = user("rabbit_password_hashing_sha256", &salted);
        assert!(has_password(&sha256, &Secret::new("pw")));
        assert!(!has_password(&sha256, &Secret::new("other")));
        for strange in [
            user("rabbit_password_hashing_md5", &salted),
            user("rabbit_password_hashing_sha256", b"x"),
            json!({}),
        ] {
            assert!(!has_password(&strange, &Secret::new("pw")), "{strange}");
        }
    }
}
