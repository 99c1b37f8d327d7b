//! Tests of wrappers: two nodes, real sockets, a real PostgreSQL.

mod crash;
mod directory;
mod figures;
mod forwards;
mod kit;
mod postgres;
mod server;
mod streams;
