//! Any bytes are an RTP packet or refused, and a packet written again is the same packet.
#![no_main]

use focus_rtp::packet::{HeaderWriter, RtpHeader, pad};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(header) = RtpHeader::parse(data) else { return };
    let mut written = Vec::new();
    let mut writer = HeaderWriter::start(
        &mut written,
        header.payload_type,
        header.marker,
        header.sequence_number,
        header.timestamp,
        header.ssrc,
        data.len() % 2 == 1,
    );
    for (id, value) in header.elements(data) {
        writer.element(id, value);
    }
    let length = writer.finish();
    written.extend_from_slice(header.payload(data));
    pad(&mut written, 0, header.padding_bytes);

    let again = RtpHeader::parse(&written).expect("what was read can be written");
    assert_eq!(again.payload_range().start, length);
    assert_eq!(again.payload(&written), header.payload(data));
    assert!(again.elements(&written).eq(header.elements(data)));
    assert_eq!(
        (again.payload_type, again.marker, again.sequence_number, again.timestamp, again.ssrc),
        (header.payload_type, header.marker, header.sequence_number, header.timestamp, header.ssrc)
    );
    assert_eq!((again.padding_bytes, again.csrc_count()), (header.padding_bytes, 0));
});
