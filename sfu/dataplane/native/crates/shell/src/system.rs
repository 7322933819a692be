//! The system calls that the standard library has not, each behind a safe function. Linux only.
#![allow(unsafe_code)] // this module and `messages`: nowhere else in the data plane

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::{c_int, c_void, socklen_t, timespec};

use crate::socket_name::SocketName;

/// A socket that does not block and is not inherited.
pub(crate) fn socket(family: c_int, kind: c_int) -> io::Result<OwnedFd> {
    // SAFETY: it takes three numbers.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    owned(fd)
}

/// Give a socket its address.
pub(crate) fn bind(socket: BorrowedFd<'_>, name: &SocketName) -> io::Result<()> {
    let bytes = name.bytes();
    // SAFETY: the kernel reads as many bytes as it is told, which are the slice's, and keeps none of them.
    let result = unsafe { libc::bind(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len() as socklen_t) };
    done(result)
}

/// Take connections.
pub(crate) fn listen(socket: BorrowedFd<'_>, backlog: c_int) -> io::Result<()> {
    // SAFETY: it takes two numbers.
    done(unsafe { libc::listen(socket.as_raw_fd(), backlog) })
}

/// Set a socket option whose value is an `int`.
pub(crate) fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let value: *const c_int = &raw const value;
    // SAFETY: the kernel reads the four bytes of `value`, which lives over the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.cast::<c_void>(),
            size_of::<c_int>() as socklen_t,
        )
    };
    done(result)
}

/// A socket option whose value is an `int`.
pub(crate) fn option(socket: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as socklen_t;
    let into: *mut c_int = &raw mut value;
    // SAFETY: the kernel writes at most `length` bytes to `value`, which has as many, and its count to `length`.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, into.cast::<c_void>(), &raw mut length) };
    done(result).map(|()| value)
}

/// Nanoseconds of a clock. The ones that are asked for are in every kernel.
pub(crate) fn clock_ns(clock: libc::clockid_t) -> i64 {
    let mut at = MaybeUninit::<timespec>::zeroed();
    // SAFETY: the kernel writes one `timespec`; where it does not, zeros are one, too.
    let at = unsafe {
        libc::clock_gettime(clock, at.as_mut_ptr());
        at.assume_init()
    };
    at.tv_sec * focus_units::NS_PER_S + at.tv_nsec
}

/// An event counter that does not block.
pub(crate) fn event_fd() -> io::Result<OwnedFd> {
    // SAFETY: it takes two numbers.
    owned(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })
}

/// A set of descriptors to wait for.
pub(crate) fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: it takes one number.
    owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// Add, change or remove a descriptor of the set.
pub(crate) fn epoll_control(
    epoll: BorrowedFd<'_>,
    operation: c_int,
    fd: RawFd,
    mut event: libc::epoll_event,
) -> io::Result<()> {
    // SAFETY: the kernel reads one event, and keeps a copy. A descriptor that is none gives an error.
    done(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, fd, &raw mut event) })
}

/// Wait for descriptors of the set; how many events there are. `None`: for ever.
///
/// # Errors
///
/// Interrupted, or `ENOSYS` where the kernel (before 5.11) can't wait for less than a millisecond.
pub(crate) fn epoll_wait_ns(
    epoll: BorrowedFd<'_>,
    events: &mut [libc::epoll_event],
    timeout: Option<timespec>,
) -> io::Result<usize> {
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel writes at most as many events as it is told, which the slice has; it reads the timeout,
    // which lives over the call. No signal mask is given. All arguments have the width of a register.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            libc::c_long::from(epoll.as_raw_fd()),
            events.as_mut_ptr(),
            events.len(),
            timeout,
            ptr::null::<c_void>(),
            0_usize,
        )
    };
    counted(count as isize)
}

/// As `epoll_wait_ns`, by the millisecond; -1: for ever.
pub(crate) fn epoll_wait_ms(
    epoll: BorrowedFd<'_>,
    events: &mut [libc::epoll_event],
    timeout_ms: c_int,
) -> io::Result<usize> {
    // SAFETY: the kernel writes at most as many events as it is told, which the slice has.
    let count = unsafe {
        libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), events.len() as c_int, timeout_ms)
    };
    counted(count as isize)
}

/// How many, unless it failed.
pub(crate) fn counted(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn done(result: c_int) -> io::Result<()> {
    counted(result as isize).map(|_| ())
}

fn owned(fd: c_int) -> io::Result<OwnedFd> {
    counted(fd as isize)?;
    // SAFETY: a call that makes descriptors has just returned this one, so nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
