//! Dependency descriptors on their way to one route.

use std::sync::Arc;

use focus_streams::descriptor_reader::{DescriptorReader, PacketDescriptor};
use focus_streams::descriptor_rewriter::DescriptorRewriter;
use focus_streams::selector::PacketFacts;
use focus_streams::temporal::TemporalFilter;

use crate::calls::{hex, optional, replay};

#[derive(Default)]
struct Route {
    reader: DescriptorReader,
    temporal: TemporalFilter,
    rewriter: DescriptorRewriter,
    value: Vec<u8>,
    descriptor: Option<Arc<PacketDescriptor>>,
}

#[test]
fn descriptors() {
    replay(
        "descriptors",
        |_| Route::default(),
        |route, name, words| match (name, &route.descriptor) {
            ("switch", _) => {
                route.temporal.reset(words.int());
                route.rewriter.pause();
                route.reader = DescriptorReader::new();
                String::new()
            }
            ("read", _) => {
                let seq = words.int();
                route.value = words.bytes();
                route.descriptor = route.reader.read(seq, &route.value).map(Arc::new);
                optional(route.descriptor.as_ref().map(|read| {
                    let (number, start, active) = (read.frame_number, read.sequence_start, read.active);
                    format!("{number} {start} {active} {}", read.structure.is_some())
                }))
            }
            ("passes", descriptor) => {
                let facts = PacketFacts {
                    encoding: 0,
                    seq: 0,
                    ts: 0,
                    starts_key_frame: false,
                    temporal: None,
                    layer_sync: false,
                    descriptor: descriptor.clone(),
                };
                let passes = route.temporal.passes(&facts, words.int());
                format!("{passes} {}", route.temporal.limit())
            }
            ("by_id", _) => {
                let facts = PacketFacts {
                    encoding: 0,
                    seq: 0,
                    ts: words.int(),
                    starts_key_frame: false,
                    temporal: words.optional(),
                    layer_sync: words.flag(),
                    descriptor: None,
                };
                let passes = route.temporal.passes(&facts, words.int());
                format!("{passes} {}", route.temporal.limit())
            }
            ("forward", Some(descriptor)) => {
                let active = route.temporal.active_targets(descriptor);
                let rewriting = route.rewriter.forward(words.ssrc(), descriptor, active);
                let mut out = Vec::new();
                rewriting.apply(&route.value, descriptor, &mut out);
                format!("{} {}", optional(active), hex(&out))
            }
            _ => panic!("{name}"),
        },
    );
}
