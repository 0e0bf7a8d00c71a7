//! Reading the parts that packets are made of.

use bytes::{Buf, Bytes};

use super::{Malformed, Properties};

const SHORT: Malformed = Malformed("a packet that ends too early");

/// What is left of one packet.
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything there is.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| SHORT)
    }

    fn two(&mut self) -> Result<u16, Malformed> {
        self.0.try_get_u16().map_err(|_| SHORT)
    }

    fn four(&mut self) -> Result<u32, Malformed> {
        self.0.try_get_u32().map_err(|_| SHORT)
    }

    /// A packet identifier, which is never 0.
    pub(super) fn id(&mut self) -> Result<u16, Malformed> {
        match self.two()? {
            0 => Err(Malformed("the packet identifier 0")),
            id => Ok(id),
        }
    }

    /// A number of one to four bytes.
    fn number(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for place in 0..4 {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a number of more than four bytes"))
    }

    fn binary(&mut self) -> Result<Bytes, Malformed> {
        let length = usize::from(self.two()?);
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if self.0.len() < length {
            return Err(SHORT);
        }
        Ok(self.0.split_to(length))
    }

    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.binary()?.into()).map_err(|_| Malformed("a text that is not UTF-8"))
    }

    /// Properties, as they stand at the end of a packet's variable header.
    pub(super) fn properties(&mut self) -> Result<Properties, Malformed> {
        let length = self.number()?;
        let length = usize::try_from(length).map_err(|_| SHORT)?;
        let mut reader = Self(self.take(length)?);
        let mut found = Properties::default();
        while !reader.is_empty() {
            reader.property(&mut found)?;
        }
        Ok(found)
    }

    fn property(&mut self, found: &mut Properties) -> Result<(), Malformed> {
        // Section 2.2.2.2 gives each property its type; the ones not kept have to be read as well,
        // as nothing else says where the next one starts.
        match self.number()? {
            0x01 => found.payload_format = Some(self.byte()?),
            0x03 => found.content_type = Some(self.text()?),
            0x0b => found.subscriptions.push(self.number()?),
            0x13 => found.server_keep_alive = Some(self.two()?),
            0x1f => found.reason = Some(self.text()?),
            0x21 => found.receive_maximum = Some(self.id()?),
            0x23 => found.topic_alias = Some(self.two()?),
            0x24 => found.maximum_qos = Some(self.byte()?),
            0x26 => found.user.push((self.text()?, self.text()?)),
            0x27 => found.maximum_packet_size = Some(self.four()?),
            0x28 => found.wildcards = Some(self.byte()?),
            0x29 => found.subscription_ids = Some(self.byte()?),
            0x2a => found.shared_subscriptions = Some(self.byte()?),
            0x17 | 0x19 | 0x25 => drop(self.byte()?),
            0x22 => drop(self.two()?),
            0x02 | 0x11 | 0x18 => drop(self.four()?),
            0x08 | 0x12 | 0x15 | 0x1a | 0x1c => drop(self.text()?),
            0x09 | 0x16 => drop(self.binary()?),
            _ => return Err(Malformed("a property that MQTT 5 does not have")),
        }
        Ok(())
    }
}
