//! Counters as rows of numbers, which another language reads without copying field by field.

use crate::inbound::Inbound;
use crate::participant::Participant;

/// The columns of a participant's row, each an `i64`.
pub const PARTICIPANT_FIELDS: [&str; 13] = [
    "id",
    "is_publisher",
    "is_full",
    "is_connected",
    "is_open",
    "datagrams_received",
    "bytes_received",
    "media_sent",
    "frames_skipped",
    "keyframes_wanted",
    "feedback_sent",
    "unreadable",
    "kernel_drops",
];

/// The columns of a received RTP stream's row, each an `i64`.
pub const STREAM_FIELDS: [&str; 16] = [
    "participant",
    "ssrc",
    "payload_type",
    "is_video",
    "packets_received",
    "bytes_received",
    "packets_lost",
    "duplicates",
    "late",
    "frames",
    "key_frames",
    "picture_id_breaks",
    "tl0_breaks",
    "timestamp_breaks",
    "nacks_sent",
    "plis_sent",
];

/// A participant's row.
pub fn participant_row(
    id: u32,
    participant: &Participant,
    kernel_drops: u32,
) -> [i64; PARTICIPANT_FIELDS.len()] {
    let traffic = participant.traffic();
    [
        i64::from(id),
        i64::from(participant.is_publisher()),
        i64::from(participant.is_full()),
        i64::from(participant.is_connected()),
        i64::from(participant.is_open()),
        traffic.datagrams_received,
        traffic.bytes_received,
        traffic.media_sent,
        participant.frames_skipped() as i64,
        traffic.keyframes_wanted,
        traffic.feedback_sent,
        traffic.unreadable,
        i64::from(kernel_drops),
    ]
}

/// The row of one of its streams.
pub fn stream_row(id: u32, stream: &Inbound) -> [i64; STREAM_FIELDS.len()] {
    let counts = stream.reception().counts();
    [
        i64::from(id),
        i64::from(stream.ssrc),
        i64::from(stream.payload_type),
        i64::from(stream.is_video()),
        counts.packets_received,
        counts.bytes_received,
        counts.packets_lost,
        counts.duplicates,
        counts.late,
        counts.frames,
        counts.key_frames,
        counts.picture_id_breaks,
        counts.tl0_breaks,
        counts.timestamp_breaks,
        stream.nacks_sent,
        stream.plis_sent,
    ]
}
