//! Sockets and threads around the data plane's core.
