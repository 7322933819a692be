//! One RTP stream: choosing, rewriting, counting, remembering.
#![forbid(unsafe_code)]
