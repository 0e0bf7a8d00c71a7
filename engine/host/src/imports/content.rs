//! `content`: the bytes messages announce, read and written through the port of the call at hand.

use std::sync::Arc;

use flow_runtime::ports::{self, ContentReader, ContentWriter};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, WasmList};

use crate::bindings::flow::plugin::content;
use crate::bindings::flow::plugin::types::Failure;
use crate::error::Error;
use crate::names;
use crate::store::Guest;

/// Most bytes one read returns.
pub(crate) const CHUNK: usize = 64 << 10;

/// Content being read by a guest.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Reader {
    /// None once its call ended.
    inner: Option<Box<dyn ContentReader>>,
    size: u64,
}

/// Content taken out of a reader, and its length.
pub(crate) type Taken = (Box<dyn ContentReader>, u64);

impl Reader {
    pub(crate) fn close(&mut self) {
        self.inner = None;
    }
}

/// Content being written by a guest.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Writer {
    /// None once its call ended.
    inner: Option<Box<dyn ContentWriter>>,
    /// The message it is the content of; none: derived content.
    download: Option<u64>,
}

impl Writer {
    pub(crate) fn close(&mut self) {
        self.inner = None;
    }
}

impl Guest {
    /// The content port, where `what` is allowed and `id` is a message in hand.
    fn content(
        &self,
        what: &str,
        moments: &[&str],
        id: u64,
    ) -> Result<Arc<dyn ports::Content>, Failure> {
        let (plugin, entry_point) = (&self.setup.plugin, self.call.entry_point);
        let port = self
            .call
            .content
            .clone()
            .filter(|_| moments.contains(&entry_point))
            .ok_or_else(|| {
                let text = format!(
                    "plugin `{plugin}` called `content.{what}` in `{entry_point}`; it is for {}",
                    list(moments)
                );
                Failure::misuse(&Error::new("plugin/wrong-moment", text))
            })?;
        if !self.call.ids.contains(&id) {
            let text = format!(
                "plugin `{plugin}` asked for the content of message {id}, which is none of this call"
            );
            return Err(Failure::misuse(&Error::new("plugin/forged-id", text)));
        }
        let room = self.contents.room(plugin, "contents");
        room.map_err(|error| Failure::misuse(&error))?;
        Ok(port)
    }

    fn reader(&self, id: u64) -> Result<Reader, Failure> {
        let port = self.content("open", &["after_work", "send"], id)?;
        let _away = self.meter.pause();
        let (reader, size) = port.open(id)?;
        Ok(Reader {
            inner: Some(reader),
            size,
        })
    }

    fn writer(&self, id: u64) -> Result<Writer, Failure> {
        let port = self.content("create", &["download"], id)?;
        let _away = self.meter.pause();
        Ok(Writer {
            inner: Some(port.create(id)?),
            download: Some(id),
        })
    }

    fn derived(
        &self,
        id: u64,
        rel_path: &str,
        content_type: Option<&str>,
    ) -> Result<Option<Writer>, Failure> {
        let port = self.content("derive", &["after_work"], id)?;
        names::check_path(rel_path)
            .and_then(|()| names::check_element(names::last(rel_path)))
            .map_err(|why| Failure::misuse(&names::refused(&self.setup.plugin, rel_path, &why)))?;
        let _away = self.meter.pause();
        let writer = port.derive(id, rel_path, content_type)?;
        Ok(writer.map(|writer| Writer {
            inner: Some(writer),
            download: None,
        }))
    }

    /// Puts a resource into the table, to be closed when the call ends.
    fn keep<T: Send + 'static>(&mut self, resource: T) -> wasmtime::Result<Resource<T>> {
        let resource = self.table.push(resource)?;
        self.contents.one_more();
        self.call.opened.push(resource.rep());
        Ok(resource)
    }

    /// Takes the content out of a reader that was given away.
    pub(crate) fn take_reader(
        &mut self,
        reader: Resource<Reader>,
    ) -> wasmtime::Result<Result<Taken, Failure>> {
        let reader = self.table.delete(reader)?;
        self.contents.one_less();
        let size = reader.size;
        Ok(match reader.inner {
            Some(inner) => Ok((inner, size)),
            None => Err(self.closed("reader")),
        })
    }

    fn closed(&self, what: &str) -> Failure {
        let text = format!(
            "plugin `{}` used a content {what} of an earlier call",
            self.setup.plugin
        );
        Failure::misuse(
            &Error::new("plugin/wrong-moment", text).note("content is open for one call only"),
        )
    }
}

fn list(moments: &[&str]) -> String {
    moments
        .iter()
        .map(|moment| format!("`{moment}`"))
        .collect::<Vec<_>>()
        .join(" and ")
}

impl content::Host for Guest {
    fn open(&mut self, id: u64) -> wasmtime::Result<Result<Resource<Reader>, Failure>> {
        self.call.last = Some(id);
        match self.reader(id) {
            Ok(reader) => self.keep(reader).map(Ok),
            Err(failure) => Ok(Err(failure)),
        }
    }

    fn create(&mut self, id: u64) -> wasmtime::Result<Result<Resource<Writer>, Failure>> {
        self.call.last = Some(id);
        match self.writer(id) {
            Ok(writer) => self.keep(writer).map(Ok),
            Err(failure) => Ok(Err(failure)),
        }
    }

    fn derive(
        &mut self,
        id: u64,
        rel_path: String,
        content_type: Option<String>,
    ) -> wasmtime::Result<Result<Option<Resource<Writer>>, Failure>> {
        self.call.last = Some(id);
        match self.derived(id, &rel_path, content_type.as_deref()) {
            Ok(Some(writer)) => self.keep(writer).map(|writer| Ok(Some(writer))),
            Ok(None) => Ok(Ok(None)),
            Err(failure) => Ok(Err(failure)),
        }
    }
}

/// Links `writer.write` so that what a guest writes is taken from its memory where it lies: the
/// generated binding copies it first.
pub(super) fn link_write(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker
        .instance("flow:plugin/content@0.1.0")?
        .func_wrap("[method]writer.write", write_in_place)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn write_in_place(
    mut store: StoreContextMut<'_, Guest>,
    (writer, data): (Resource<Writer>, WasmList<u8>),
) -> wasmtime::Result<(Result<(), Failure>,)> {
    let guest = store.data_mut();
    // Out of the guest's table, because its memory is borrowed meanwhile.
    let Some(mut inner) = guest.table.get_mut(&writer)?.inner.take() else {
        return Ok((Err(guest.closed("writer")),));
    };
    let meter = Arc::clone(&guest.meter);
    let _away = meter.pause();
    let written = inner.write(data.as_le_slice(&store));
    store.data_mut().table.get_mut(&writer)?.inner = Some(inner);
    Ok((written.map_err(Failure::from),))
}

impl content::HostReader for Guest {
    fn read(
        &mut self,
        reader: Resource<Reader>,
        max: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Failure>> {
        let max = usize::try_from(max).unwrap_or(CHUNK).clamp(1, CHUNK);
        let _away = self.meter.pause();
        Ok(match &mut self.table.get_mut(&reader)?.inner {
            Some(inner) => inner.read(max).map_err(Failure::from),
            None => Err(self.closed("reader")),
        })
    }

    fn size(&mut self, reader: Resource<Reader>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&reader)?.size)
    }

    fn drop(&mut self, reader: Resource<Reader>) -> wasmtime::Result<()> {
        self.table.delete(reader)?;
        self.contents.one_less();
        Ok(())
    }
}

impl content::HostWriter for Guest {
    fn write(&mut self, _: Resource<Writer>, _: Vec<u8>) -> wasmtime::Result<Result<(), Failure>> {
        Err(wasmtime::Error::msg("`write_in_place` is linked instead"))
    }

    fn finish(&mut self, writer: Resource<Writer>) -> wasmtime::Result<Result<u64, Failure>> {
        let writer = self.table.delete(writer)?;
        self.contents.one_less();
        let _away = self.meter.pause();
        let Some(inner) = writer.inner else {
            return Ok(Err(self.closed("writer")));
        };
        Ok(match inner.finish() {
            Ok(handle) => {
                match writer.download {
                    Some(id) => self.call.downloaded.push(id),
                    None => self.call.derived.push(handle),
                }
                Ok(handle)
            }
            Err(failure) => Err(failure.into()),
        })
    }

    fn drop(&mut self, writer: Resource<Writer>) -> wasmtime::Result<()> {
        self.table.delete(writer)?;
        self.contents.one_less();
        Ok(())
    }
}
