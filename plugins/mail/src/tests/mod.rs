//! The plugin against scripted servers: what it says is checked word by word, what it hears can be
//! as nasty as servers get.

mod imap;
mod pop;
mod script;
