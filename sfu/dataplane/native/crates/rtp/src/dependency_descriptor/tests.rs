mod encoder;
mod reading;
mod rewriting;
