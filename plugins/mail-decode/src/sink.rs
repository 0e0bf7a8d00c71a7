//! Where decoded parts go.
//!
//! The decoder knows nothing of hosts or files: it opens a part, writes it in pieces and finishes
//! it. Tests collect parts in memory; the plugin writes them through the host.
//!
//! Invariants: a part that is opened is finished or, after an error, dropped; pieces arrive in
//! order and are at most 64 KiB.

/// Receives the parts of one mail.
pub trait Sink {
    /// A part being written.
    type Writer;
    /// What is left of a finished part: a handle, a path, the bytes.
    type Content;
    /// Why a part could not be stored.
    type Error;

    /// Starts a part. `rel_path` is relative to the mail's own root and ends in a safe file name.
    ///
    /// `None` means nobody wants this part; the decoder then skips its bytes.
    ///
    /// # Errors
    /// Whatever keeps the part from being stored; decoding stops.
    fn open(
        &mut self,
        rel_path: &str,
        content_type: &str,
    ) -> Result<Option<Self::Writer>, Self::Error>;

    /// Appends to a part.
    ///
    /// # Errors
    /// Whatever keeps the part from being stored; decoding stops.
    fn write(&mut self, writer: &mut Self::Writer, data: &[u8]) -> Result<(), Self::Error>;

    /// Ends a part.
    ///
    /// # Errors
    /// Whatever keeps the part from being stored; decoding stops.
    fn finish(&mut self, writer: Self::Writer) -> Result<Self::Content, Self::Error>;
}
