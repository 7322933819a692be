//! A file of calls, made one by one.

use std::fmt::Display;
use std::path::Path;

use focus_plane::DropReason;
use focus_units::{Instant, Ssrc};

/// The words of one call, read from the left.
pub struct Words<'a>(std::str::SplitWhitespace<'a>);

impl<'a> Words<'a> {
    pub fn word(&mut self) -> &'a str {
        self.0.next().expect("another argument")
    }

    pub fn int<T: TryFrom<i128>>(&mut self) -> T {
        read(self.word())
    }

    pub fn optional<T: TryFrom<i128>>(&mut self) -> Option<T> {
        Some(self.word()).filter(|word| *word != "-").map(read)
    }

    pub fn flag(&mut self) -> bool {
        self.word() == "true"
    }

    pub fn float(&mut self) -> f64 {
        f64::from_bits(u64::from_str_radix(self.word(), 16).unwrap())
    }

    pub fn now(&mut self) -> Instant {
        Instant(self.int())
    }

    pub fn ssrc(&mut self) -> Ssrc {
        Ssrc(self.int())
    }

    pub fn list(&mut self) -> Vec<i64> {
        let list = self.word().trim_matches(['[', ']']);
        list.split(',').filter(|word| !word.is_empty()).map(read).collect()
    }

    pub fn bytes(&mut self) -> Vec<u8> {
        let hex = self.word().trim_matches('\'');
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }
}

fn read<T: TryFrom<i128>>(word: &str) -> T {
    word.parse().ok().and_then(|value: i128| value.try_into().ok()).unwrap_or_else(|| panic!("{word}"))
}

pub fn optional(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

pub fn instant(at: Option<Instant>) -> String {
    optional(at.map(|at| at.0))
}

pub fn list(values: &[impl Display]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    format!("[{}]", values.join(","))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

pub fn reason(drop: Option<DropReason>) -> String {
    let name = |drop| DropReason::ALL.iter().find(|(reason, _)| *reason == drop).unwrap().1;
    optional(drop.map(name))
}

/// Make each call of a file on what the last `new` made, and compare.
pub fn replay<T>(
    module: &str,
    new: impl Fn(&mut Words) -> T,
    call: impl Fn(&mut T, &str, &mut Words) -> String,
) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../../../tests/vectors/streams")
        .join(format!("{module}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut subject = None;
    let mut calls = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let (asked, answer) = line.split_once(" =").unwrap();
        let mut words = Words(asked.split_whitespace());
        match words.word() {
            "new" => subject = Some(new(&mut words)),
            name => {
                let told = call(subject.as_mut().unwrap(), name, &mut words);
                assert_eq!(told, answer.trim_start(), "{module}.txt line {number}: {asked}");
                calls += 1;
            }
        }
    }
    assert!(calls > 200, "{calls} calls");
}
