//! Bytes to values and back: RTP, RTCP, extensions and codec descriptors.
#![forbid(unsafe_code)]
