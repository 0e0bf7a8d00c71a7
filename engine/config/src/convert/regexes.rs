//! Expressions of Python as expressions of Rust.
//!
//! Both are anchored at the start and match from left to right; most expressions are the same text.
//! What is missing here on purpose, as it can take exponential time, is refused with the reason.

use regex_syntax::ast::parse::Parser;

/// The expression for here.
///
/// # Errors
/// Why there is none, and what to do.
pub(super) fn convert(python: &str) -> Result<String, String> {
    let mut out = String::with_capacity(python.len());
    let chars: Vec<char> = python.chars().collect();
    let mut at = 0;
    // Whether a quantifier was just read, after which Python takes no other.
    let mut repeated = false;
    while at < chars.len() {
        let rest = &chars[at..];
        let (taken, quantifier) = match rest {
            ['$', '{', ..] => (variable(rest, &mut out), false),
            ['\\', ..] => (escape(rest, &mut out)?, false),
            ['[', ..] => (class(rest, &mut out)?, false),
            ['(', '?', ..] => (group(rest, &mut out)?, false),
            ['*' | '+' | '?' | '{', ..] => {
                let (taken, quantifier) = repeat(rest, &mut out, repeated)?;
                (taken, quantifier)
            }
            [c, ..] => {
                out.push(*c);
                (1, false)
            }
            [] => break,
        };
        at += taken;
        repeated = quantifier;
    }
    check(&out)?;
    Ok(out)
}

/// `${NAME}` is filled in before the expression is read.
fn variable(rest: &[char], out: &mut String) -> usize {
    let end = rest.iter().position(|c| *c == '}').unwrap_or(0);
    if end == 0 {
        out.push('$');
        return 1;
    }
    out.extend(&rest[..=end]);
    end + 1
}

fn escape(rest: &[char], out: &mut String) -> Result<usize, String> {
    let Some(c) = rest.get(1) else {
        return Err("it ends in a `\\`".into());
    };
    match c {
        '1'..='9' => {
            return Err(format!(
                "a reference back to a group (`\\{c}`) is not available here: write out what it stands for"
            ));
        }
        '0' => return Err("an octal escape is not available here: write `\\x00`".into()),
        'Z' => out.push_str("\\z"),
        // Here these are the start and end of a word.
        '<' | '>' => out.push(*c),
        c => {
            out.push('\\');
            out.push(*c);
        }
    }
    Ok(2)
}

/// `[…]`: in Python nothing in it but `\`, `]`, `^` and `-` is special.
fn class(rest: &[char], out: &mut String) -> Result<usize, String> {
    out.push('[');
    let mut at = 1;
    if rest.get(at) == Some(&'^') {
        out.push('^');
        at += 1;
    }
    if rest.get(at) == Some(&']') {
        out.push_str("\\]");
        at += 1;
    }
    let mut last = ' ';
    while let Some(c) = rest.get(at) {
        match c {
            ']' => {
                out.push(']');
                return Ok(at + 1);
            }
            '[' => out.push_str("\\["),
            // Twice the same is an operation on sets here.
            '&' | '~' => {
                out.push('\\');
                out.push(*c);
            }
            '-' if last == '-' => out.push_str("\\-"),
            '\\' => {
                let next = rest.get(at + 1).copied().unwrap_or('\\');
                match next {
                    'b' => out.push_str("\\x08"),
                    '<' | '>' => out.push(next),
                    next => {
                        out.push('\\');
                        out.push(next);
                    }
                }
                at += 1;
            }
            c => out.push(*c),
        }
        last = *c;
        at += 1;
    }
    Err("a `[` is never closed".into())
}

fn group(rest: &[char], out: &mut String) -> Result<usize, String> {
    let hint = "use an earlier rule that rejects what must not match";
    match rest.get(2) {
        Some('=' | '!') => Err(format!("a look ahead (`(?{}`) is not available here: {hint}", rest[2])),
        Some('<') if matches!(rest.get(3), Some('=' | '!')) => {
            Err(format!("a look behind (`(?<{}`) is not available here: {hint}", rest[3]))
        }
        Some('>') => Err("an atomic group (`(?>`) is not available here: a plain group `(?:` matches more".into()),
        Some('(') => Err("a condition (`(?(`) is not available here: write two rules".into()),
        Some('P') if rest.get(3) == Some(&'=') => {
            Err("a reference back to a group (`(?P=`) is not available here: write out what it stands for".into())
        }
        Some('#') => match rest.iter().position(|c| *c == ')') {
            Some(end) => Ok(end + 1),
            None => Err("a comment is never closed".into()),
        },
        _ => {
            // Flags: `a`, `L` and `u` choose what a letter is, which is always Unicode here.
            let end = rest
                .iter()
                .position(|c| matches!(c, ')' | ':' | '<'))
                .unwrap_or(rest.len());
            let flags: String = rest[2..end].iter().collect();
            if flags.is_empty() || flags == "P" {
                out.push_str("(?");
                return Ok(2);
            }
            if flags.contains(['a', 'L']) {
                return Err("the flags `a` and `L` are not available here: write `[0-9A-Za-z_]` for `\\w`".into());
            }
            let flags = flags.replace('u', "");
            if flags.is_empty() && rest.get(end) == Some(&')') {
                return Ok(end + 1);
            }
            out.push_str("(?");
            out.push_str(&flags);
            Ok(end)
        }
    }
}

fn repeat(rest: &[char], out: &mut String, repeated: bool) -> Result<(usize, bool), String> {
    if rest[0] == '{' {
        let end = rest.iter().position(|c| *c == '}');
        let inner: Option<String> = end.map(|end| rest[1..end].iter().collect());
        let bounds = inner.filter(|inner| {
            inner.chars().any(|c| c.is_ascii_digit())
                && inner.chars().all(|c| c.is_ascii_digit() || c == ',')
                && inner.matches(',').count() <= 1
        });
        let Some(bounds) = bounds else {
            // In Python a brace that is no quantifier is a brace.
            out.push_str("\\{");
            return Ok((1, false));
        };
        if let Some(most) = bounds.strip_prefix(',') {
            out.push_str(&format!("{{0,{most}}}"));
        } else {
            out.push_str(&format!("{{{bounds}}}"));
        }
        let taken = bounds.chars().count() + 2;
        return lazy(rest, taken, out);
    }
    if repeated {
        return Err(format!(
            "two quantifiers in a row (`{}`): sr3 can't read it either",
            rest[0]
        ));
    }
    out.push(rest[0]);
    lazy(rest, 1, out)
}

/// Takes the `?` of a lazy quantifier along.
fn lazy(rest: &[char], taken: usize, out: &mut String) -> Result<(usize, bool), String> {
    match rest.get(taken) {
        Some('?') => {
            out.push('?');
            Ok((taken + 1, true))
        }
        Some('+') => Err(
            "a quantifier that never gives back (`++`, `*+`) is not available here: leave the second `+` out".into(),
        ),
        _ => Ok((taken, true)),
    }
}

/// Whether it is an expression here, variables aside.
fn check(text: &str) -> Result<(), String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(end) = rest[start..].find('}') else {
            break;
        };
        plain.push_str(&rest[..start]);
        plain.push('x');
        rest = &rest[start + end + 1..];
    }
    plain.push_str(rest);
    Parser::new()
        .parse(&plain)
        .map_err(|error| error.kind().to_string())?;
    regex::Regex::new(&format!("^(?:{plain})"))
        .map(drop)
        .map_err(|_| "it does not stand by itself".to_owned())
}

/// Whether it matches whatever it is given.
pub(super) fn matches_everything(text: &str) -> bool {
    matches!(
        text,
        "" | "^" | "." | ".*" | ".+" | "^.*" | ".*$" | "^.*$" | "^.+$" | ".*?" | "(.*)" | "^(.*)$"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_carried_over() {
        for (python, expected) in [
            (r".*\.tmp$", r".*\.tmp$"),
            (r".*(?P<name>a|b).*?x{2,3}", r".*(?P<name>a|b).*?x{2,3}"),
            (r"(?i).*/sync/", r"(?i).*/sync/"),
            (r"(?u)a(?#note)b", "ab"),
            (r"a\Z", r"a\z"),
            (r"\<a\>", "<a>"),
            (r"[[a&&b~~c]", r"[\[a\&\&b\~\~c]"),
            (r"[]x]", r"[\]x]"),
            (r"a{,5}", "a{0,5}"),
            (r"a{b}", r"a\{b}"),
            (r".*/${SITE}/x", r".*/${SITE}/x"),
            (r"a\/b\_c\-d", r"a\/b\_c\-d"),
            (r"(?:a|b)+", r"(?:a|b)+"),
        ] {
            assert_eq!(convert(python).as_deref(), Ok(expected), "{python}");
        }
    }

    #[test]
    fn what_is_not_available_is_refused_with_a_reason() {
        for (python, why) in [
            (r".*(?!x)", "look ahead"),
            (r"(?<=a)b", "look behind"),
            (r"(a)\1", "reference back"),
            (r"(?P<a>x)(?P=a)", "reference back"),
            (r"(?>a)", "atomic"),
            (r"a*+", "never gives back"),
            (r".?*/x", "two quantifiers"),
            (r"(?a)\w", "flags"),
            (r"[a", "never closed"),
            (r"(a", "unclosed group"),
            (r"*.grib", "repetition"),
        ] {
            let error = convert(python).expect_err(python);
            assert!(error.contains(why), "{python}: {error}");
        }
    }
}
