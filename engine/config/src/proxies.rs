//! Proxies of HTTP, as the variables say that other programs read too.

use std::collections::BTreeMap;

/// Proxies of HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// For `http:`.
    pub http: Option<String>,
    /// For `https:`.
    pub https: Option<String>,
    /// Hosts reached without: names, `.domains`, addresses, networks; separated by commas.
    pub none: String,
}

impl Proxies {
    /// As the environment says: `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`, in lower or
    /// upper case; lower wins.
    pub fn of_variables(variables: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| {
            [name.to_owned(), name.to_ascii_uppercase()]
                .iter()
                .filter_map(|name| variables.get(name))
                .find(|value| !value.trim().is_empty())
                .map(|value| value.trim().to_owned())
        };
        let all = get("all_proxy");
        Self {
            http: get("http_proxy").or_else(|| all.clone()),
            https: get("https_proxy").or(all),
            none: get("no_proxy").unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Proxies;

    #[test]
    fn proxies_come_from_variables() {
        let variables: BTreeMap<String, String> = [
            ("HTTPS_PROXY", "http://upper:1"),
            ("https_proxy", "http://lower:1"),
            ("http_proxy", " "),
            ("ALL_PROXY", "http://all:1"),
            ("no_proxy", "localhost,.example"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let proxies = Proxies::of_variables(&variables);
        assert_eq!(proxies.https.as_deref(), Some("http://lower:1"));
        assert_eq!(proxies.http.as_deref(), Some("http://all:1"));
        assert_eq!(proxies.none, "localhost,.example");
    }
}
