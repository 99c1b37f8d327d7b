//! Conformance objects, suites and live peers for OCapN implementations.
