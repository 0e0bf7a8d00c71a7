//! The `filename` keywords of sr3, for names made of `:` fields as Sundew wrote them:
//! `SACN31_CWAO_011200:ncp1:CWAO:SA:3.A.I.E:3:20240101120000`.

/// Applies keywords joined with `:`, e.g. `WHATFN:TIME`.
///
/// `pub_time` is 14 digits, for `TIME`.
pub(crate) fn apply(keywords: &str, name: &str, pub_time: Option<&str>) -> String {
    let fields: Vec<&str> = name.split(':').collect();
    let received = fields.last().copied().filter(|field| is_time(field));
    let mut out = name.to_owned();
    let mut end = String::new();
    for keyword in keywords.split(':') {
        match keyword {
            "WHATFN" => fields[0].clone_into(&mut out),
            "HEADFN" => out = head(fields[0]),
            "NONE" => out = cut(&fields, false),
            "NONESENDER" => out = cut(&fields, true),
            "SENDER" => {
                if let Some(sender) = sender(&fields) {
                    sender.clone_into(&mut out);
                }
            }
            "TIME" => {
                if let Some(time) = received.or(pub_time) {
                    end.push(':');
                    end.push_str(time);
                }
            }
            _ => match keyword.split_once('=') {
                Some(("DESTFN", name)) => name.clone_into(&mut out),
                Some(("SATNET", _)) => {
                    end.push(':');
                    end.push_str(keyword);
                }
                _ => {}
            },
        }
    }
    if !end.is_empty() && received.is_some() {
        // The time is written once.
        if let Some(time) = received.and_then(|time| out.strip_suffix(time)) {
            let kept = time.trim_end_matches(':').len();
            out.truncate(kept);
        }
    }
    out + &end
}

/// Why `keywords` are none.
pub(crate) fn wrong(keywords: &str) -> Option<String> {
    keywords.split(':').find_map(|keyword| {
        let known = matches!(
            keyword,
            "WHATFN" | "HEADFN" | "NONE" | "NONESENDER" | "SENDER" | "TIME"
        );
        match keyword.split_once('=') {
            Some(("DESTFN" | "SATNET", value)) if !value.is_empty() => None,
            Some(("DESTFNSCRIPT", _)) => {
                Some("`DESTFNSCRIPT` names a script; write what it does with `replace` and `to`".to_owned())
            }
            _ if known => None,
            _ => Some(format!(
                "`{keyword}` is none of `WHATFN`, `HEADFN`, `NONE`, `NONESENDER`, `SENDER`, `DESTFN=name`, `SATNET=name`, `TIME`"
            )),
        }
    })
}

/// Two fields of the product's name.
fn head(product: &str) -> String {
    let mut parts = product.split('_');
    match (parts.next(), parts.next()) {
        (Some(first), Some(second)) => format!("{first}_{second}"),
        _ => product.to_owned(),
    }
}

/// At most six fields, without the time of reception, with or without the sender.
fn cut(fields: &[&str], keep_sender: bool) -> String {
    let (senders, others): (Vec<&str>, Vec<&str>) = fields
        .iter()
        .filter(|field| !is_time(field))
        .partition(|field| field.starts_with("SENDER="));
    let mut kept: Vec<&str> = others.into_iter().take(6).collect();
    if keep_sender {
        kept.extend(senders);
    }
    kept.join(":")
}

fn sender<'a>(fields: &[&'a str]) -> Option<&'a str> {
    fields
        .iter()
        .find_map(|field| field.strip_prefix("SENDER="))
        .filter(|sender| !sender.is_empty())
}

fn is_time(field: &str) -> bool {
    field.len() == 14 && field.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{apply, wrong};

    const NAME: &str = "SACN31_CWAO_011200:ncp1:CWAO:SA:3.A.I.E:3:20240101120005";
    const SENT: &str = "SACN31_CWAO_011200:ncp1:CWAO:SA:3:SENDER=x.txt:20240101120005";

    #[test]
    fn keywords_do_what_they_did() {
        for (keywords, name, expected) in [
            ("WHATFN", NAME, "SACN31_CWAO_011200"),
            ("HEADFN", NAME, "SACN31_CWAO"),
            ("HEADFN", "plain", "plain"),
            ("NONE", NAME, "SACN31_CWAO_011200:ncp1:CWAO:SA:3.A.I.E:3"),
            ("NONE", SENT, "SACN31_CWAO_011200:ncp1:CWAO:SA:3"),
            (
                "NONESENDER",
                SENT,
                "SACN31_CWAO_011200:ncp1:CWAO:SA:3:SENDER=x.txt",
            ),
            ("SENDER", SENT, "x.txt"),
            ("SENDER", NAME, NAME),
            ("DESTFN=latest.txt", NAME, "latest.txt"),
            ("WHATFN:TIME", NAME, "SACN31_CWAO_011200:20240101120005"),
            ("TIME", NAME, NAME),
            ("TIME", "a.txt", "a.txt:20250101000000"),
            ("WHATFN:SATNET=1,2", NAME, "SACN31_CWAO_011200:SATNET=1,2"),
            ("WHATFN", "", ""),
        ] {
            let out = apply(keywords, name, Some("20250101000000"));
            assert_eq!(out, expected, "{keywords} {name}");
        }
    }

    #[test]
    fn unknown_keywords_are_named() {
        assert_eq!(wrong("WHATFN:TIME"), None);
        assert_eq!(wrong("DESTFN=x"), None);
        assert!(wrong("WHATFM").unwrap().starts_with("`WHATFM` is none of"));
        assert!(wrong("DESTFN=").is_some());
        assert!(wrong("DESTFNSCRIPT=a.b").unwrap().contains("`replace`"));
    }
}
