//! The template of `credentials.conf`.
//!
//! Reading credentials is the engine's business; here they are only ever asked for.

/// What a person puts a password in place of.
pub(crate) const PLACEHOLDER: &str = "PASSWORD";

/// A new `credentials.conf`, and the number of the line to fill.
pub(crate) fn template(line: &str) -> (String, usize) {
    let text = format!(
        "# credentials.conf - passwords, one server per line.\n\
         #\n\
         #   scheme://user:password@host[:port]   [option=value, ...]\n\
         #\n\
         # The user and the password are written as in a URL: @ is %40, # is %23, / is %2F, % is %25.\n\
         # Keep this file to yourself: flow refuses it when others may read it (chmod 600).\n\
         \n\
         {line}\n"
    );
    let number = text.lines().count();
    (text, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_says_which_line_to_fill() {
        let (text, number) = template("imaps://me:PASSWORD@host");
        assert_eq!(
            text.lines().nth(number - 1),
            Some("imaps://me:PASSWORD@host")
        );
    }
}
