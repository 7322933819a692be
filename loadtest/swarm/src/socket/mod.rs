//! The system calls: datagrams in batches with kernel times, waiting, clocks.
//!
//! The standard library has no `recvmmsg`, no control messages, no `epoll` and no clock whose number may be seen.
//! This module and its children are the only place of this crate with `unsafe`. Each use passes the kernel pointers
//! to memory that outlives the call and says why; nothing unsafe is exported.
#![allow(unsafe_code)]

mod batch;
mod time;
mod udp;
mod wait;

pub use batch::{Batch, Received};
pub use time::{clock, monotonic_ns, thread_cpu_ns, wall_offset};
pub use udp::Udp;
pub use wait::{Bell, Poller};

use std::io;

/// The value of a system call, or why it failed.
fn check(value: libc::c_int) -> io::Result<libc::c_int> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
