//! A DTLS provider of str0m's that shares what is dear and lets the media keys out.
//!
//! str0m builds a `dimpl::Config` for each connection, and each build runs the crypto library's self-tests: about
//! 1 ms, three quarters of a join. One shared configuration does the same handshakes. And str0m has no getter for
//! the keys of a handshake, which the lean path needs; its providers see them pass. All of this is public API.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion, SrtpProfile,
};

use crate::srtp::Keys;

/// What a tap does with keys that the lean path can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tap {
    /// Nothing: str0m carries the media.
    Pass,
    /// Keeps them from str0m, which then knows of no media.
    Take,
    /// Notes them, and str0m has them too.
    Copy,
}

impl Tap {
    fn judge(self, material: &[u8], profile: SrtpProfile, is_client: bool) -> Outcome {
        match self {
            Self::Pass => Outcome::Passed,
            Self::Take | Self::Copy => {
                Keys::new(material, profile, is_client).map_or(Outcome::Passed, Outcome::Keys)
            }
        }
    }
}

/// Where a connection's keys turn up.
#[derive(Debug, Clone, Default)]
pub struct Slot(Arc<Mutex<Outcome>>);

/// What came of a handshake.
#[derive(Debug, Clone, Default)]
pub enum Outcome {
    /// Nothing yet.
    #[default]
    Pending,
    /// Keys for the lean path.
    Keys(Keys),
    /// str0m alone has the keys: so it should be, or the lean path doesn't read the profile that was agreed.
    Passed,
}

impl Slot {
    /// What came of the handshake so far.
    pub fn outcome(&self) -> Outcome {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, outcome: Outcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }
}

thread_local! {
    /// A provider is `'static` and is told nothing of the connection it serves; connections are built one at a time.
    static NEXT: RefCell<Option<(Tap, Slot)>> = const { RefCell::new(None) };
}

/// Build something that makes one DTLS instance on this thread, with a tap on its keys.
pub fn tapped<T>(tap: Tap, build: impl FnOnce() -> T) -> (T, Slot) {
    let slot = Slot::default();
    NEXT.with(|next| *next.borrow_mut() = Some((tap, slot.clone())));
    let made = build();
    NEXT.with(|next| next.borrow_mut().take());
    (made, slot)
}

/// str0m's crypto with our DTLS.
pub fn provider() -> CryptoProvider {
    CryptoProvider { dtls_provider: &SharedDtls, ..str0m::crypto::from_feature_flags() }
}

#[derive(Debug)]
struct SharedDtls;

impl SharedDtls {
    fn config(mtu: Option<usize>) -> Result<Arc<dimpl::Config>, CryptoError> {
        static SHARED: OnceLock<Arc<dimpl::Config>> = OnceLock::new();
        if let Some(config) = SHARED.get() {
            return Ok(Arc::clone(config));
        }
        // As str0m has it: ICE has proved the return path, so no cookies.
        let builder = dimpl::Config::builder().use_server_cookie(false);
        let builder = match mtu {
            Some(mtu) => builder.mtu(mtu),
            None => builder,
        };
        let config = builder.build().map_err(|error| CryptoError::Other(error.to_string()))?;
        Ok(Arc::clone(SHARED.get_or_init(|| Arc::new(config))))
    }
}

impl DtlsProvider for SharedDtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        str0m::crypto::from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        if version != DtlsVersion::Dtls12 {
            return Err(CryptoError::Other(format!("{version} is not what these participants speak")));
        }
        let inner = dimpl::Dtls::new_12(Self::config(mtu)?, certificate.clone(), now);
        let (tap, slot) = NEXT.with(|next| next.borrow_mut().take()).unwrap_or((Tap::Pass, Slot::default()));
        Ok(Box::new(TappedDtls { inner, tap, slot }))
    }
}

struct TappedDtls {
    inner: dimpl::Dtls,
    tap: Tap,
    slot: Slot,
}

impl fmt::Debug for TappedDtls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TappedDtls").field("tap", &self.tap).finish_non_exhaustive()
    }
}

impl DtlsInstance for TappedDtls {
    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let is_client = self.inner.is_active();
        match self.inner.poll_output(buffer) {
            DtlsOutput::KeyingMaterial(material, profile) => {
                let outcome = self.tap.judge(material.as_ref(), profile, is_client);
                let is_taken = self.tap == Tap::Take && matches!(outcome, Outcome::Keys(_));
                self.slot.put(outcome);
                if is_taken {
                    // Said before, hence without effect: str0m takes any number of them.
                    return DtlsOutput::Connected;
                }
                DtlsOutput::KeyingMaterial(material, profile)
            }
            output => output,
        }
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GCM: (&[u8], SrtpProfile) = (&[7; 56], SrtpProfile::AEAD_AES_128_GCM);
    const CM: (&[u8], SrtpProfile) = (&[7; 60], SrtpProfile::AES128_CM_SHA1_80);

    #[test]
    fn keys_of_a_profile_that_the_lean_path_reads_are_noted() {
        for tap in [Tap::Take, Tap::Copy] {
            assert!(matches!(tap.judge(GCM.0, GCM.1, true), Outcome::Keys(_)));
        }
        assert!(matches!(Tap::Pass.judge(GCM.0, GCM.1, true), Outcome::Passed));
    }

    #[test]
    fn keys_of_any_other_profile_are_left_to_str0m() {
        for tap in [Tap::Take, Tap::Copy, Tap::Pass] {
            assert!(matches!(tap.judge(CM.0, CM.1, true), Outcome::Passed));
        }
    }

    #[test]
    fn all_connections_share_one_configuration() {
        let shared = [None, Some(1_150)].map(|mtu| SharedDtls::config(mtu).expect("builds"));
        assert!(Arc::ptr_eq(&shared[0], &shared[1]));
    }

    #[test]
    fn a_tap_serves_one_connection_alone() {
        let ((), first) = tapped(Tap::Take, || ());
        NEXT.with(|next| assert!(next.borrow().is_none()));
        assert!(matches!(first.outcome(), Outcome::Pending));
    }
}
