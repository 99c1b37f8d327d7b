//! How large a graph and what it says of a machine may be.

/// The limits of graphs and of the desired states in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of the graph's own text.
    pub(crate) text_bytes: usize,
    /// Machines of a graph.
    pub(crate) machines: usize,
    /// Bindings of a graph.
    pub(crate) bindings: usize,
    /// What one machine offers, in names.
    pub(crate) offers: usize,
    /// Packages, files and services of one machine, together.
    pub(crate) items: usize,
    /// Bytes of one file's content.
    pub(crate) file_bytes: usize,
    /// Bytes of all contents of one machine's state.
    pub(crate) state_bytes: usize,
    /// Bytes of one file whose content is sent apart, by its digest. 0: there are no such
    /// files, nor links and directories.
    pub(crate) object_bytes: u64,
    /// Bytes of all such files of one state.
    pub(crate) objects_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes: 4 << 20,
            machines: 1_000,
            bindings: 10_000,
            offers: 100,
            items: 1_000,
            file_bytes: 1 << 20,
            state_bytes: 4 << 20,
            object_bytes: 0,
            objects_bytes: 0,
        }
    }
}
