//! The `blocks` field: what a message says about one block of a larger file.
//!
//! The field travels as its producer wrote it; [`Blocks::layout`] is the typed view for those who
//! put files together again. Reading and writing block files is not done here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::codec::{DecodeError, cut, kind, wrong};
use crate::identity::Identity;

/// One block of a file announced in parts, kept as the producer wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocks {
    /// The `blocks` object, verbatim.
    pub value: Map<String, Value>,
}

/// Where the bytes of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockMethod {
    /// Inside the file, at its place.
    Inplace,
    /// In a file of its own that holds only this block.
    Partitioned,
    /// In a file of its own, announced as one.
    Separate,
}

impl BlockMethod {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inplace => "inplace",
            Self::Partitioned => "partitioned",
            Self::Separate => "separate",
        }
    }
}

/// The typed content of [`Blocks`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockLayout {
    /// Where the bytes are.
    pub method: BlockMethod,
    /// Bytes of each block but the last.
    pub size: u64,
    /// The block this message is about; `None` where it is about all of them.
    pub number: Option<u64>,
    /// How many blocks there are, where the producer said so instead of listing them.
    pub count: Option<u64>,
    /// Bytes of the last block, where the producer said so instead of listing it.
    pub remainder: Option<u64>,
    /// The known blocks by their number.
    pub manifest: BTreeMap<u64, Block>,
}

/// One entry of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Bytes.
    pub size: u64,
    /// Fingerprint: the value alone, under the method of the message's own identity, or both.
    pub identity: Option<BlockIdentity>,
}

/// How a manifest writes the fingerprint of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockIdentity {
    /// The value alone; the method is that of the message's identity.
    Value(String),
    /// Method and value.
    Whole(Identity),
}

impl Blocks {
    /// The typed view. JSON has no numbers as keys, so the manifest's arrive as text.
    ///
    /// # Errors
    /// A member that is missing or not what it should be, by name.
    pub fn layout(&self) -> Result<BlockLayout, DecodeError> {
        let method = match self.value.get("method") {
            Some(Value::String(name)) => match name.as_str() {
                "inplace" => BlockMethod::Inplace,
                "partitioned" => BlockMethod::Partitioned,
                "separate" => BlockMethod::Separate,
                other => {
                    let reason = format!("unknown method `{}`", cut(other));
                    return Err(wrong("blocks.method", reason));
                }
            },
            Some(other) => {
                let reason = format!("expected a string, found {}", kind(other));
                return Err(wrong("blocks.method", reason));
            }
            None => return Err(DecodeError::Missing("blocks.method")),
        };
        let number = match self.value.get("number") {
            // What sr3 writes before it has counted.
            Some(Value::Number(number)) if number.as_i64() == Some(-1) => None,
            other => count(other, "blocks.number")?,
        };
        Ok(BlockLayout {
            method,
            size: count(self.value.get("size"), "blocks.size")?
                .ok_or(DecodeError::Missing("blocks.size"))?,
            number,
            count: count(self.value.get("count"), "blocks.count")?,
            remainder: count(self.value.get("remainder"), "blocks.remainder")?,
            manifest: manifest(self.value.get("manifest"))?,
        })
    }
}

fn count(value: Option<&Value>, field: &'static str) -> Result<Option<u64>, DecodeError> {
    let found = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_u64().ok_or_else(|| number.to_string()),
        Some(Value::String(text)) => text.parse().map_err(|_| text.clone()),
        Some(other) => {
            let reason = format!("expected a number, found {}", kind(other));
            return Err(wrong(field, reason));
        }
    };
    found
        .map(Some)
        .map_err(|text| wrong(field, format!("`{}` is not a count", cut(&text))))
}

fn manifest(value: Option<&Value>) -> Result<BTreeMap<u64, Block>, DecodeError> {
    let blocks = match value {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(blocks)) => blocks,
        Some(other) => {
            let reason = format!("expected an object, found {}", kind(other));
            return Err(wrong("blocks.manifest", reason));
        }
    };
    let entry = |(key, value): (&String, &Value)| {
        let number = key.parse().map_err(|_| {
            let reason = format!("key `{}` is not the number of a block", cut(key));
            wrong("blocks.manifest", reason)
        })?;
        let size = count(value.get("size"), "blocks.manifest.size")?
            .ok_or(DecodeError::Missing("blocks.manifest.size"))?;
        let identity = match value.get("identity") {
            None | Some(Value::Null) => None,
            Some(Value::String(value)) => Some(BlockIdentity::Value(value.clone())),
            Some(Value::Object(both)) => {
                let member = |name| both.get(name).and_then(Value::as_str).map(str::to_owned);
                match (member("method"), member("value")) {
                    (Some(method), Some(value)) => {
                        Some(BlockIdentity::Whole(Identity { method, value }))
                    }
                    _ => {
                        let reason = "`method` or `value` is missing or no string";
                        return Err(wrong("blocks.manifest.identity", reason));
                    }
                }
            }
            Some(other) => {
                let reason = format!("expected an object, found {}", kind(other));
                return Err(wrong("blocks.manifest.identity", reason));
            }
        };
        Ok((number, Block { size, identity }))
    };
    blocks.iter().map(entry).collect()
}
