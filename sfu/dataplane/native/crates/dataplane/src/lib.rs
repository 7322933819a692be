//! The data plane without its sockets: datagrams in, datagrams out, time as an argument.
#![forbid(unsafe_code)]
