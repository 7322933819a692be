//! SRTP and SRTCP of one transport.
#![forbid(unsafe_code)]
