//! Vats: actors, transactional turns and promises.
