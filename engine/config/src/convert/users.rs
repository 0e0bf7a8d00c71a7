//! `admin`, `feeder` and `declare source NAME …` of `admin.conf` and `default.conf`, as `users.yaml`.

use std::collections::BTreeMap;

use super::document::{Document, Node, Value};
use super::lines::{Line, Lines};
use super::names;
use crate::users::Role;
use crate::{SafeUrl, Secret};

/// What these files say of users.
#[derive(Debug, Default)]
pub(super) struct Users {
    /// The text of `users.yaml`; none: no administrator is named, or no user.
    pub(super) yaml: Option<String>,
    /// Lines of `credentials.conf`, for passwords that stood in URLs.
    pub(super) credentials: Vec<Secret>,
    /// Why nothing was written though there are users.
    pub(super) lacks_admin: bool,
}

pub(super) fn users(lines: &Lines) -> Users {
    let mut env: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = Users::default();
    let mut admin: Option<SafeUrl> = None;
    let mut roles: Vec<(String, Role)> = Vec::new();
    for line in &lines.lines {
        let word = |at: usize| line.words.get(at).map_or("", String::as_str);
        match names::today(line.keyword()) {
            "declare" if names::ENV.contains(&word(1)) => env.extend(word(2).split_once('=')),
            "declare" => {
                if let Some(role) = Role::of_sr3(word(1)) {
                    let name = filled(word(2), &env);
                    add(&mut roles, name, role);
                }
            }
            "admin" => admin = url(line, &env, &mut found.credentials).or(admin),
            "feeder" => {
                if let Some(url) = url(line, &env, &mut found.credentials) {
                    add(&mut roles, url.user(), Role::Feeder);
                }
            }
            _ => {}
        }
    }
    let Some(admin) = admin.filter(|url| !url.user().is_empty()) else {
        found.lacks_admin = !roles.is_empty();
        return found;
    };
    // In sr3 the administrator is one whatever else is said of it.
    roles.retain(|(name, role)| *name != admin.user() || *role == Role::Admin);
    if !roles.is_empty() {
        found.yaml = Some(text(&admin, roles));
    }
    found
}

fn text(admin: &SafeUrl, roles: Vec<(String, Role)>) -> String {
    let mut doc = Document {
        head: vec![" Who may use the broker; `flow declare --users` makes it so.".into()],
        ..Document::default()
    };
    doc.set("broker", Value::text(admin.without_password()), Vec::new());
    let roles = roles
        .into_iter()
        .map(|(name, role)| (name, Node::from(Value::text(role.as_str()))));
    doc.set("users", Value::Map(roles.collect()), Vec::new());
    doc.write()
}

/// The last word about somebody counts, in the place of the first.
fn add(roles: &mut Vec<(String, Role)>, name: String, role: Role) {
    if name.is_empty() {
        return;
    }
    match roles.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = role,
        None => roles.push((name, role)),
    }
}

fn url(line: &Line, env: &BTreeMap<&str, &str>, credentials: &mut Vec<Secret>) -> Option<SafeUrl> {
    let text = filled(line.words.get(1)?, env);
    let url = SafeUrl::parse(&text).ok()?;
    if url.expose().password().is_some() {
        credentials.push(Secret::new(url.expose().as_str()));
    }
    SafeUrl::parse(&url.without_password()).ok()
}

fn filled(text: &str, env: &BTreeMap<&str, &str>) -> String {
    let mut text = text.to_owned();
    for (name, value) in env {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    text
}
