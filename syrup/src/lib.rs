//! The Syrup codec: canonical, incremental, zero-copy.
