//! Any bytes are a dependency descriptor or refused, by itself and behind a key frame, and a rewrite changes
//! what it was told to and nothing else. The first byte is the length of the key frame's descriptor.
#![no_main]

use focus_rtp::dependency_descriptor::{
    DependencyDescriptor, NewNumbers, Structure, claims_structure, parse_dependency_descriptor,
    rewrite_dependency_descriptor,
};
use libfuzzer_sys::fuzz_target;

fn moved(structure: &Structure, by: u8) -> Structure {
    Structure { template_id_offset: (structure.template_id_offset + by) & 63, ..structure.clone() }
}

fn rewrite(value: &[u8], read: &DependencyDescriptor, known: Option<&Structure>, numbers: NewNumbers) {
    let mut written = Vec::new();
    rewrite_dependency_descriptor(value, read, numbers, &mut written);
    let shift = numbers.template_shift;
    let known = known.map(|known| moved(known, shift));
    let again = parse_dependency_descriptor(&written, known.as_ref()).expect("what was read can be written");
    let active = numbers.active.filter(|_| read.mask.is_some()).or(read.active_decode_targets);
    assert_eq!(
        again,
        DependencyDescriptor {
            template_id: (read.template_id + shift) & 63,
            frame_number: numbers.frame_number,
            structure: read.structure.as_ref().map(|structure| moved(structure, shift)),
            active_decode_targets: active,
            mask: again.mask,
            ..read.clone()
        }
    );
}

fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first() else { return };
    let Some((key_frame, packet)) = rest.split_at_checked((*length).into()) else { return };
    let known = parse_dependency_descriptor(key_frame, None).ok().and_then(|read| read.structure);
    for (value, known) in [(key_frame, None), (packet, None), (packet, known.as_ref())] {
        let Ok(read) = parse_dependency_descriptor(value, known) else { continue };
        assert_eq!(read.structure.is_some(), claims_structure(value));
        let targets = read.mask.map_or(0, |mask| u32::MAX >> (32 - mask.width));
        for active in [None, Some(0x5555_5555 & targets)] {
            let numbers = NewNumbers { frame_number: 0xABCD, template_shift: *length & 63, active };
            rewrite(value, &read, known, numbers);
        }
    }
});
