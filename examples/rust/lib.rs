//! Examples of ferropickle; cargo wants a library beside them, and this is all of it.
//!
//! `cargo run -p ferropickle-examples --example 01_disassemble`
