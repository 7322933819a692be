//! Descriptors as encoders write them, and what is read of them as plain lists.

use super::super::*;

/// A frame as an encoder describes it: layer, indications, frame diffs, chain diffs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame(
    pub(super) u8,
    pub(super) u8,
    pub(super) Vec<u8>,
    pub(super) Vec<u16>,
    pub(super) Vec<u8>,
);

/// A structure as an encoder describes it.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) offset: u8,
    pub(super) frames: Vec<Frame>,
    pub(super) protected_by: Vec<u8>,
    pub(super) resolutions: Vec<(u32, u32)>,
}

impl Described {
    pub(super) fn targets(&self) -> u32 {
        self.frames[0].2.len() as u32
    }

    pub(super) fn write(&self, writer: &mut BitWriter) {
        writer.put(self.offset.into(), 6);
        writer.put(self.targets() - 1, 5);
        for pair in self.frames.windows(2) {
            let step = if pair[1].0 == pair[0].0 { pair[1].1 - pair[0].1 } else { 2 };
            writer.put(step.into(), 2);
        }
        writer.put(3, 2);
        for Frame(_, _, indications, ..) in &self.frames {
            put_all(writer, indications, 2);
        }
        for Frame(_, _, _, diffs, _) in &self.frames {
            for diff in diffs {
                writer.put(16 | u32::from(diff - 1), 5);
            }
            writer.put(0, 1);
        }
        let chains = self.frames[0].4.len() as u32;
        put_non_symmetric(writer, self.targets() + 1, chains);
        for chain in &self.protected_by {
            put_non_symmetric(writer, chains, (*chain).into());
        }
        for Frame(.., diffs) in &self.frames {
            put_all(writer, diffs, 4);
        }
        writer.put((!self.resolutions.is_empty()).into(), 1);
        for (width, height) in &self.resolutions {
            writer.put(width - 1, 16);
            writer.put(height - 1, 16);
        }
    }

    pub(super) fn structure(&self) -> Structure {
        parse_dependency_descriptor(&key_frame(self), None)
            .expect("a descriptor")
            .structure
            .expect("a structure")
    }
}

pub(super) fn put_all(writer: &mut BitWriter, values: &[u8], count: u32) {
    for value in values {
        writer.put((*value).into(), count);
    }
}

/// `ns(n)` by its definition in AV1, section 4.10.7.
pub(super) fn put_non_symmetric(writer: &mut BitWriter, count: u32, value: u32) {
    let width = 32 - count.leading_zeros();
    let short = (1 << width) - count;
    if value < short { writer.put(value, width - 1) } else { writer.put(value + short, width) }
}

/// One spatial and three temporal layers, in libwebrtc's order: decode target 0 is the lowest.
pub(super) fn l1t3() -> Described {
    Described {
        offset: 0,
        frames: vec![
            Frame(0, 0, vec![2, 2, 2], vec![], vec![0]),
            Frame(0, 0, vec![2, 2, 2], vec![4], vec![4]),
            Frame(0, 1, vec![0, 1, 2], vec![2], vec![2]),
            Frame(0, 2, vec![0, 0, 1], vec![1], vec![1]),
            Frame(0, 2, vec![0, 0, 1], vec![1], vec![3]),
        ],
        protected_by: vec![0, 0, 0],
        resolutions: vec![(640, 360)],
    }
}

/// One spatial and two temporal layers, template ids over their wrap.
pub(super) fn l1t2() -> Described {
    Described {
        offset: 62,
        frames: vec![
            Frame(0, 0, vec![2, 2], vec![], vec![0]),
            Frame(0, 0, vec![3, 3], vec![2], vec![2]),
            Frame(0, 1, vec![0, 1], vec![1], vec![1]),
        ],
        protected_by: vec![0, 0],
        resolutions: vec![(1280, 720)],
    }
}

/// Two spatial layers, the upper built on the lower, with two temporal layers each.
pub(super) fn l2t2() -> Described {
    Described {
        offset: 0,
        frames: vec![
            Frame(0, 0, vec![2, 2, 2, 2], vec![], vec![0, 0]),
            Frame(0, 0, vec![2, 2, 3, 3], vec![4], vec![4, 3]),
            Frame(0, 1, vec![0, 1, 0, 3], vec![2], vec![2, 1]),
            Frame(1, 0, vec![0, 0, 2, 2], vec![1], vec![1, 1]),
            Frame(1, 0, vec![0, 0, 2, 2], vec![1, 4], vec![1, 1]),
            Frame(1, 1, vec![0, 0, 0, 1], vec![1, 2], vec![3, 2]),
        ],
        protected_by: vec![0, 0, 1, 1],
        resolutions: vec![(640, 360), (1280, 720)],
    }
}

pub(super) fn without_chains() -> Described {
    let frames = vec![Frame(0, 0, vec![3], vec![], vec![]), Frame(0, 0, vec![3], vec![1], vec![])];
    Described { offset: 7, frames, protected_by: vec![], resolutions: vec![] }
}

/// A packet as an encoder describes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Packet {
    pub(super) template_id: u8,
    pub(super) frame_number: u16,
    pub(super) is_middle: bool,
    pub(super) structure: Option<Described>,
    /// The mask and its bits.
    pub(super) active: Option<(u32, u32)>,
    pub(super) indications: Option<Vec<u8>>,
    pub(super) frame_diffs: Option<Vec<u16>>,
    pub(super) chain_diffs: Option<Vec<u8>>,
}

impl Packet {
    pub(super) fn of(template_id: u8, frame_number: u16) -> Self {
        Self { template_id, frame_number, ..Self::default() }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = BitWriter::new(&mut out);
        writer.put(if self.is_middle { 0 } else { 3 }, 2);
        writer.put(self.template_id.into(), 6);
        writer.put(self.frame_number.into(), 16);
        let flags = [
            self.structure.is_some(),
            self.active.is_some(),
            self.indications.is_some(),
            self.frame_diffs.is_some(),
            self.chain_diffs.is_some(),
        ];
        if flags.contains(&true) {
            for flag in flags {
                writer.put(flag.into(), 1);
            }
        }
        if let Some(structure) = &self.structure {
            structure.write(&mut writer);
        }
        if let Some((active, width)) = self.active {
            writer.put(active, width);
        }
        put_all(&mut writer, self.indications.as_deref().unwrap_or_default(), 2);
        if let Some(diffs) = &self.frame_diffs {
            for diff in diffs {
                let size = (u16::BITS - (diff - 1).leading_zeros()).div_ceil(4).max(1);
                writer.put(size, 2);
                writer.put(u32::from(diff - 1), 4 * size);
            }
            writer.put(0, 2);
        }
        put_all(&mut writer, self.chain_diffs.as_deref().unwrap_or_default(), 8);
        out
    }
}

pub(super) fn key_frame(structure: &Described) -> Vec<u8> {
    key_frame_with(structure, None, 0x1234)
}

pub(super) fn key_frame_with(structure: &Described, active: Option<u32>, frame_number: u16) -> Vec<u8> {
    Packet {
        structure: Some(structure.clone()),
        active: active.map(|active| (active, structure.targets())),
        ..Packet::of(structure.offset, frame_number)
    }
    .bytes()
}

/// The same as plain lists.
pub(super) fn described(structure: &Structure) -> Described {
    Described {
        offset: structure.template_id_offset,
        frames: structure.templates.iter().map(frame).collect(),
        protected_by: structure.decode_target_protected_by.to_vec(),
        resolutions: structure.resolutions.to_vec(),
    }
}

pub(super) fn frame(dependencies: &FrameDependencies) -> Frame {
    Frame(
        dependencies.spatial_id,
        dependencies.temporal_id,
        dependencies.indications.iter().map(|indication| indication as u8).collect(),
        dependencies.frame_diffs.to_vec(),
        dependencies.chain_diffs.to_vec(),
    )
}

pub(super) fn parsed(value: &[u8], structure: Option<&Described>) -> DependencyDescriptor {
    let structure = structure.map(Described::structure);
    parse_dependency_descriptor(value, structure.as_ref()).expect("a descriptor")
}

pub(super) fn own_frame(packet: &Packet, structure: &Described) -> Option<Frame> {
    parsed(&packet.bytes(), Some(structure)).dependencies.as_ref().map(frame)
}

pub(super) fn is_refused(value: &[u8], structure: Option<&Described>) -> bool {
    let structure = structure.map(Described::structure);
    match parse_dependency_descriptor(value, structure.as_ref()) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error, ParseError("dependency_descriptor"));
            true
        }
    }
}

pub(super) fn assert_same(structure: &Structure, expected: &Described) {
    let read = described(structure);
    assert_eq!(u32::from(structure.decode_target_count), expected.targets());
    assert_eq!((read.offset, read.frames), (expected.offset, expected.frames.clone()));
    assert_eq!(
        (read.protected_by, read.resolutions),
        (expected.protected_by.clone(), expected.resolutions.clone())
    );
}
