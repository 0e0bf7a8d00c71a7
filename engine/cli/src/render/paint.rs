//! Colours, or none.

/// Wraps text in terminal colours when they are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

macro_rules! colors {
    ($($name:ident $code:literal),* $(,)?) => {
        impl Paint {
            $(
                /// The text in this style.
                pub(crate) fn $name(self, text: &str) -> String {
                    self.wrap($code, text)
                }
            )*
        }
    };
}

colors! {
    bold "1",
    dim "2",
    red "1;31",
    green "32",
    yellow "33",
    blue "34",
    cyan "36",
}

impl Paint {
    /// Colours.
    pub(crate) fn on() -> Self {
        Self { on: true }
    }

    /// No colours.
    pub(crate) fn off() -> Self {
        Self { on: false }
    }

    /// Whether there are colours.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
