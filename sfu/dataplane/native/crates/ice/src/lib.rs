//! STUN, and the lite side of ICE: who is at which address, and where to send to.
//!
//! Mirrors `sfu/dataplane/stun.py`, `ice.py`, `requests.py` and `allowance.py`.
#![forbid(unsafe_code)]

mod address;
mod agent;
mod allowance;
mod consent;
mod peer;
mod requests;
mod stun;

pub use address::{Address, AddressKind};
pub use agent::{CheckResult, LiteAgent, MAX_ADDRESSES, MAX_REFUSALS_PER_S};
pub use allowance::Allowance;
pub use stun::{
    Attribute, BINDING, ErrorCode, HEADER_BYTES, MAX_ATTRIBUTES, MessageClass, StunMessage, TransactionId,
    serialise, write_error, write_success, xor_address,
};
