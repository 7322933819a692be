//! Dependency descriptors as encoders write them (AV1 RTP payload format, appendix A), for tests.

/// A template: spatial and temporal layer, indications, frame diffs, chain diffs.
type Template = (u32, u32, &'static [u32], &'static [u32], &'static [u32]);

/// A structure to write.
#[derive(Clone, Copy)]
pub struct Layout {
    pub offset: u8,
    pub targets: u32,
    pub templates: &'static [Template],
    pub protected_by: &'static [u32],
    pub resolutions: &'static [(u32, u32)],
}

/// One spatial and three temporal layers, in libwebrtc's order: decode target 0 is the lowest.
pub const L1T3: Layout = Layout {
    offset: 0,
    targets: 3,
    templates: &[
        (0, 0, &[2, 2, 2], &[], &[0]),
        (0, 0, &[2, 2, 2], &[4], &[4]),
        (0, 1, &[0, 1, 2], &[2], &[2]),
        (0, 2, &[0, 0, 1], &[1], &[1]),
        (0, 2, &[0, 0, 1], &[1], &[3]),
    ],
    protected_by: &[0, 0, 0],
    resolutions: &[(640, 360)],
};

/// The templates of the frames behind a key frame of `L1T3`, over and over.
pub const L1T3_PERIOD: [u8; 4] = [3, 2, 4, 1];

/// One spatial and two temporal layers, template ids over their wrap.
pub const L1T2: Layout = Layout {
    offset: 62,
    targets: 2,
    templates: &[(0, 0, &[2, 2], &[], &[0]), (0, 0, &[3, 3], &[2], &[2]), (0, 1, &[0, 1], &[1], &[1])],
    protected_by: &[0, 0],
    resolutions: &[(1_280, 720)],
};

/// Shares no template id with `L1T3`.
pub const FAR: Layout = Layout { offset: 20, ..L1T2 };

/// Two spatial layers, the upper built on the lower, with two temporal layers each.
pub const L2T2: Layout = Layout {
    offset: 0,
    targets: 4,
    templates: &[
        (0, 0, &[2, 2, 2, 2], &[], &[0, 0]),
        (0, 0, &[2, 2, 3, 3], &[4], &[4, 3]),
        (0, 1, &[0, 1, 0, 3], &[2], &[2, 1]),
        (1, 0, &[0, 0, 2, 2], &[1], &[1, 1]),
        (1, 0, &[0, 0, 2, 2], &[1, 4], &[1, 1]),
        (1, 1, &[0, 0, 0, 1], &[1, 2], &[3, 2]),
    ],
    protected_by: &[0, 0, 1, 1],
    resolutions: &[(640, 360), (1_280, 720)],
};

/// Two frames of one target.
pub const WITHOUT_CHAINS: Layout = Layout {
    offset: 7,
    targets: 1,
    templates: &[(0, 0, &[3], &[], &[]), (0, 0, &[3], &[1], &[])],
    protected_by: &[],
    resolutions: &[],
};

/// What a packet has of its own.
#[derive(Clone, Copy, Default)]
pub struct Own {
    pub is_inside: bool,
    pub structure: Option<Layout>,
    /// Width and mask.
    pub active: Option<(u32, u32)>,
    pub indications: Option<&'static [u32]>,
    pub frame_diffs: Option<&'static [u32]>,
}

/// The descriptor of a key frame that is one packet.
pub fn key_frame(layout: Layout, frame_number: i64) -> Vec<u8> {
    packet(layout.offset, frame_number, Own { structure: Some(layout), ..Own::default() })
}

/// The same where not all targets are active.
pub fn partial_key_frame(layout: Layout, active: u32, frame_number: i64) -> Vec<u8> {
    let active = Some((layout.targets, active));
    packet(layout.offset, frame_number, Own { structure: Some(layout), active, ..Own::default() })
}

/// The descriptor of a packet.
pub fn packet(template_id: u8, frame_number: i64, own: Own) -> Vec<u8> {
    let mut bits = Bits(String::new());
    bits.put(1, u32::from(!own.is_inside));
    bits.put(1, 1);
    bits.put(6, template_id.into());
    bits.put(16, (frame_number as u16).into());
    let flags =
        [own.structure.is_some(), own.active.is_some(), own.indications.is_some(), own.frame_diffs.is_some()];
    if flags.contains(&true) {
        for flag in flags {
            bits.put(1, flag.into());
        }
        bits.put(1, 0); // none has chain diffs of its own
    }
    if let Some(structure) = own.structure {
        write_structure(&mut bits, structure);
    }
    if let Some((width, active)) = own.active {
        bits.put(width, active);
    }
    for indication in own.indications.unwrap_or_default() {
        bits.put(2, *indication);
    }
    if let Some(diffs) = own.frame_diffs {
        for diff in diffs {
            bits.put(2, 1);
            bits.put(4, diff - 1);
        }
        bits.put(2, 0);
    }
    bits.bytes()
}

fn write_structure(bits: &mut Bits, layout: Layout) {
    bits.put(6, layout.offset.into());
    bits.put(5, layout.targets - 1);
    for pair in layout.templates.windows(2) {
        bits.put(2, if pair[0].0 == pair[1].0 { pair[1].1 - pair[0].1 } else { 2 });
    }
    bits.put(2, 3);
    layout.templates.iter().flat_map(|template| template.2).for_each(|indication| bits.put(2, *indication));
    for template in layout.templates {
        template.3.iter().for_each(|diff| bits.put(5, 16 | (diff - 1)));
        bits.put(1, 0);
    }
    let chains = layout.templates[0].4.len() as u32;
    bits.put_below(layout.targets + 1, chains);
    layout.protected_by.iter().for_each(|chain| bits.put_below(chains, *chain));
    layout.templates.iter().flat_map(|template| template.4).for_each(|diff| bits.put(4, *diff));
    bits.put(1, (!layout.resolutions.is_empty()).into());
    for (width, height) in layout.resolutions {
        bits.put(16, width - 1);
        bits.put(16, height - 1);
    }
}

/// Fields of any width, one after the other.
struct Bits(String);

impl Bits {
    fn put(&mut self, width: u32, value: u32) {
        (0..width).rev().for_each(|bit| self.0.push(if value >> bit & 1 == 0 { '0' } else { '1' }));
    }

    /// `ns(n)` of AV1, section 4.10.7.
    fn put_below(&mut self, count: u32, value: u32) {
        let width = u32::BITS - count.leading_zeros();
        let short = (1 << width) - count;
        if value < short { self.put(width - 1, value) } else { self.put(width, value + short) }
    }

    fn bytes(mut self) -> Vec<u8> {
        while !self.0.len().is_multiple_of(8) {
            self.0.push('0');
        }
        (0..self.0.len()).step_by(8).map(|at| u8::from_str_radix(&self.0[at..at + 8], 2).unwrap()).collect()
    }
}
