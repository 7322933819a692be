//! The same calls as on the Python twin get the same answers (`tests/vectors/streams`).

mod calls;
mod departing;
mod described;
mod streams;
