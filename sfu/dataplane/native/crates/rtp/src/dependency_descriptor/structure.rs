//! The templates that a key frame brings along.

use std::ops::{Deref, DerefMut};

use focus_units::ParseError;

use super::MALFORMED;
use super::bits::BitReader;

/// Templates that six bits can name.
pub const MAX_TEMPLATES: usize = 64;
/// Spatial ids are below this, as in AV1. Receivers refuse a structure with higher ones.
pub const MAX_SPATIAL_IDS: u8 = 4;
/// Temporal ids are below this.
pub const MAX_TEMPORAL_IDS: u8 = 8;
/// Frames that one frame refers to; the coding allows any number, encoders use seven at most.
pub const MAX_FRAME_DIFFS: usize = 16;
/// Decode targets that five bits can count, and chains, of which there are no more.
pub const MAX_DECODE_TARGETS: usize = 32;

const NEXT_TEMPORAL: u32 = 1;
const NEXT_SPATIAL: u32 = 2;
const NO_MORE: u32 = 3;

/// A short list of numbers in place: a slice that is never longer than `N`.
#[derive(Clone, Copy, Debug)]
pub struct List<T, const N: usize> {
    items: [T; N],
    count: u8,
}

impl<T: Copy, const N: usize> List<T, N> {
    /// Add an item at the end; where the list is full, the descriptor is malformed.
    pub(super) fn push(&mut self, item: T) -> Result<(), ParseError> {
        *self.items.get_mut(usize::from(self.count)).ok_or(MALFORMED)? = item;
        self.count += 1;
        Ok(())
    }
}

impl<T: Copy + Default, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self { items: [T::default(); N], count: 0 }
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..usize::from(self.count)]
    }
}

impl<T, const N: usize> DerefMut for List<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..usize::from(self.count)]
    }
}

impl<T: PartialEq, const N: usize> PartialEq for List<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq, const N: usize> Eq for List<T, N> {}

/// What a frame is to a decode target (table A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indication {
    /// It does not belong to the target.
    NotPresent,
    /// No frame of the target depends on it.
    Discardable,
    /// Where it can be decoded, all frames of the target from here on can be.
    Switch,
    /// Others depend on it.
    Required,
}

/// An [`Indication`] per decode target, as two bit masks over the targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indications {
    high: u32,
    low: u32,
    count: u8,
}

impl Indications {
    pub(super) fn read(reader: &mut BitReader, count: usize) -> Result<Self, ParseError> {
        let mut indications = Self { high: 0, low: 0, count: count as u8 };
        for target in 0..count {
            indications.high |= reader.bits(1)? << target;
            indications.low |= reader.bits(1)? << target;
        }
        Ok(indications)
    }

    /// How many decode targets there are.
    pub const fn len(self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// One for each decode target.
    pub fn iter(self) -> impl Iterator<Item = Indication> {
        (0..self.count).map(move |target| match (self.high >> target & 1, self.low >> target & 1) {
            (0, 0) => Indication::NotPresent,
            (0, _) => Indication::Discardable,
            (_, 0) => Indication::Switch,
            _ => Indication::Required,
        })
    }
}

/// A frame's layer, what it refers to, what it is to each decode target: a template, or a frame's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameDependencies {
    /// Below [`MAX_SPATIAL_IDS`].
    pub spatial_id: u8,
    /// Below [`MAX_TEMPORAL_IDS`].
    pub temporal_id: u8,
    /// Per decode target.
    pub indications: Indications,
    /// How many frame numbers before it those stand that it refers to.
    pub frame_diffs: List<u16, MAX_FRAME_DIFFS>,
    /// Per chain, how far back its frame before this one is; 0: it needs none.
    pub chain_diffs: List<u8, MAX_DECODE_TARGETS>,
}

impl FrameDependencies {
    /// The decode targets that it belongs to.
    pub const fn targets(&self) -> u32 {
        self.indications.high | self.indications.low
    }

    /// Those of them that may begin with it.
    pub const fn switch_targets(&self) -> u32 {
        self.indications.high & !self.indications.low
    }
}

/// The templates that a key frame brings along; frames after it name them by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// The id of the first template.
    pub template_id_offset: u8,
    /// 1 to 32.
    pub decode_target_count: u8,
    /// In the order of their ids.
    pub templates: Vec<FrameDependencies>,
    /// Chain of each decode target; empty without chains.
    pub decode_target_protected_by: List<u8, MAX_DECODE_TARGETS>,
    /// (width, height) of each spatial layer; empty where they are not told.
    pub resolutions: List<(u32, u32), { MAX_SPATIAL_IDS as usize }>,
}

impl Structure {
    /// All decode targets.
    pub const fn every_target(&self) -> u32 {
        u32::MAX >> (32 - self.decode_target_count)
    }

    /// The template of a frame; `None` where the structure is not the one that the frame means.
    pub fn template(&self, template_id: u8) -> Option<&FrameDependencies> {
        self.templates.get(usize::from(template_id.wrapping_sub(self.template_id_offset)) % MAX_TEMPLATES)
    }

    /// The highest temporal layer of each decode target (`decode_target_layers` in section A.8.2).
    pub fn temporal_ids(&self) -> impl Iterator<Item = u8> {
        (0..self.decode_target_count).map(|target| {
            let of_target = self.templates.iter().filter(|template| template.targets() >> target & 1 != 0);
            of_target.map(|template| template.temporal_id).max().unwrap_or(0)
        })
    }

    pub(super) fn read(reader: &mut BitReader) -> Result<Self, ParseError> {
        let template_id_offset = reader.bits(6)? as u8;
        let targets = reader.bits(5)? + 1;
        let mut templates = read_layers(reader)?;
        for template in &mut templates {
            template.indications = Indications::read(reader, targets as usize)?;
        }
        for template in &mut templates {
            while reader.flag()? {
                template.frame_diffs.push(reader.bits(4)? as u16 + 1)?;
            }
        }
        let mut decode_target_protected_by = List::default();
        let chains = reader.non_symmetric(targets + 1)?;
        if chains > 0 {
            for _ in 0..targets {
                decode_target_protected_by.push(reader.non_symmetric(chains)? as u8)?;
            }
            for template in &mut templates {
                for _ in 0..chains {
                    template.chain_diffs.push(reader.bits(4)? as u8)?;
                }
            }
        }
        let mut resolutions = List::default();
        if reader.flag()? {
            for _ in 0..=templates.last().map_or(0, |template| template.spatial_id) {
                resolutions.push((reader.bits(16)? + 1, reader.bits(16)? + 1))?;
            }
        }
        Ok(Self {
            template_id_offset,
            decode_target_count: targets as u8,
            templates,
            decode_target_protected_by,
            resolutions,
        })
    }
}

/// One template for each layer step, with nothing but its layer yet.
fn read_layers(reader: &mut BitReader) -> Result<Vec<FrameDependencies>, ParseError> {
    let mut template = FrameDependencies::default();
    let mut templates = vec![template];
    loop {
        match reader.bits(2)? {
            NO_MORE => return Ok(templates),
            NEXT_TEMPORAL => template.temporal_id += 1,
            NEXT_SPATIAL => {
                template.spatial_id += 1;
                template.temporal_id = 0;
            }
            _ => {}
        }
        let is_layer = template.spatial_id < MAX_SPATIAL_IDS && template.temporal_id < MAX_TEMPORAL_IDS;
        if !is_layer || templates.len() == MAX_TEMPLATES {
            return Err(MALFORMED);
        }
        templates.push(template);
    }
}
