//! STUN, and the lite side of ICE.
#![forbid(unsafe_code)]
