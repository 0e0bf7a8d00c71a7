//! The v02 header `parts`: `style,size,count,remainder,current`.
//!
//! `1` announces a whole file of `size` bytes. `i` and `p` announce one block of a file, inside the
//! file or in a file of its own; they become [`Blocks`] as sr3 makes them of a v03 body that still
//! has the header, and it is for the flow to decide what to do with a block.

use serde_json::{Map, Value};

use super::error::cut;
use crate::blocks::{BlockMethod, Blocks};
use crate::fields::Message;

/// A `parts` header, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    /// `None` for a whole file.
    pub(crate) method: Option<BlockMethod>,
    pub(crate) size: u64,
    pub(crate) count: u64,
    pub(crate) remainder: u64,
    pub(crate) current: u64,
}

impl Parts {
    pub(crate) fn whole(size: u64) -> Self {
        Self {
            method: None,
            size,
            count: 1,
            remainder: 0,
            current: 0,
        }
    }

    /// The header of a message about one block, if its blocks say enough.
    pub(crate) fn of_blocks(blocks: &Blocks) -> Option<Self> {
        let layout = blocks.layout().ok()?;
        let current = layout.number.unwrap_or(0);
        let length = |number| layout.manifest.get(&number).map(|block| block.size);
        Some(Self {
            method: Some(layout.method),
            size: layout.size,
            count: layout
                .count
                .unwrap_or_else(|| u64::try_from(layout.manifest.len()).unwrap_or(u64::MAX)),
            remainder: length(current).or(layout.remainder).unwrap_or(0),
            current,
        })
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is not a list such as `1,17,1,0,0`", cut(text));
        let mut words = text.split(',').map(str::trim);
        let method = match words.next() {
            Some("1") => None,
            Some("i") => Some(BlockMethod::Inplace),
            Some("p") => Some(BlockMethod::Partitioned),
            _ => return Err(wrong()),
        };
        let mut number = || words.next()?.parse::<u64>().ok();
        let parts = (|| {
            Some(Self {
                method,
                size: number()?,
                count: number()?,
                remainder: number()?,
                current: number()?,
            })
        })()
        .ok_or_else(wrong)?;
        match words.next() {
            None => Ok(parts),
            Some(_) => Err(wrong()),
        }
    }

    pub(crate) fn text(self) -> String {
        let style = match self.method {
            None => '1',
            Some(BlockMethod::Inplace) => 'i',
            Some(BlockMethod::Partitioned | BlockMethod::Separate) => 'p',
        };
        let Self {
            size,
            count,
            remainder,
            current,
            ..
        } = self;
        format!("{style},{size},{count},{remainder},{current}")
    }

    /// Sets what the header says; what the message says itself wins.
    pub(crate) fn apply(self, message: &mut Message) {
        let Some(method) = self.method else {
            message.size.get_or_insert(self.size);
            return;
        };
        message.blocks.get_or_insert_with(|| {
            let mut value = Map::new();
            value.insert("method".into(), method.name().into());
            for (key, number) in [
                ("size", self.size),
                ("count", self.count),
                ("remainder", self.remainder),
                ("number", self.current),
            ] {
                value.insert(key.into(), Value::from(number));
            }
            Blocks { value }
        });
    }
}
