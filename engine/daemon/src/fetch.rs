//! Taking a file from a server, once: what `flow plugin add URL` fetches.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;

/// Between two parts of the answer.
const SILENCE: Duration = Duration::from_secs(60);

/// Fetches `url` as a whole, at most `limit` bytes. Only over TLS, on every hop, unless it is this
/// machine that is asked.
///
/// # Errors
/// Why not, as the end of a sentence.
pub async fn fetch(url: &str, limit: u64) -> Result<Vec<u8>, String> {
    let url = Url::parse(url).map_err(|error| format!("it is no URL: {error}"))?;
    if !trusted(&url) {
        return Err("only https is taken: anybody on the way could put in something else".into());
    }
    let policy = Policy::custom(|attempt| match trusted(attempt.url()) {
        _ if attempt.previous().len() > 10 => attempt.error("it redirects in a circle"),
        true => attempt.follow(),
        false => attempt.error("it redirects to what is not https"),
    });
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(flow_trust::client_config(flow_trust::native_roots()))
        .redirect(policy)
        .connect_timeout(SILENCE)
        .read_timeout(SILENCE)
        .build()
        .map_err(|error| why(&error))?;
    let mut response = client.get(url).send().await.map_err(|error| why(&error))?;
    if !response.status().is_success() {
        return Err(format!("the server answers {}", response.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| why(&error))? {
        if bytes.len() + chunk.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
            return Err(format!("it is larger than {} MiB", limit >> 20));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Whether nobody on the way can change what comes.
fn trusted(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let here = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && here)
}

/// The innermost cause, which says it in a few words.
fn why(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_change_is_trusted() {
        for (url, good) in [
            ("https://example.org/x.wasm", true),
            ("http://example.org/x.wasm", false),
            ("http://127.0.0.1:8000/x.wasm", true),
            ("http://[::1]/x.wasm", true),
            ("http://localhost.example.org/x.wasm", false),
            ("ftp://localhost/x.wasm", false),
        ] {
            let url = Url::parse(url).expect("a URL");
            assert_eq!(trusted(&url), good, "{url}");
        }
    }
}
