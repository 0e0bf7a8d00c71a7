//! Tries what a program on the machine could do.
use guests::*;
struct Ambient;
guests::describe!(Ambient, manifest("ambient"));
impl guests::after_accept::Guest for Ambient {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        let facts = [
            format!("environment {}", std::env::vars().count()),
            format!("arguments {}", std::env::args().count()),
            format!("file {}", std::fs::read("/etc/passwd").is_ok()),
            format!("directory {}", std::fs::read_dir(".").is_ok()),
            format!(
                "listen {}",
                std::net::TcpListener::bind("127.0.0.1:0").is_ok()
            ),
            format!(
                "connect {}",
                std::net::TcpStream::connect(("127.0.0.1", 80)).is_ok_and(|_| true)
            ),
            format!(
                "resolve {}",
                std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 80)).is_ok()
            ),
            format!(
                "clock {}",
                std::time::SystemTime::now() > std::time::UNIX_EPOCH
            ),
        ];
        Ok(batch
            .iter()
            .map(|_| Verdict::Update(vec![header("facts", facts.join(", "))]))
            .collect())
    }
}
guests::export!(Ambient: describe, after_accept);
