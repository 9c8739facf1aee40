use super::*;
use crate::render::samples;

#[test]
fn print_all() {
    for kind in samples::types() {
        for (variant, event) in samples::variants(kind) {
            println!("{kind:28} {variant:8} {}", say(&event).line());
        }
    }
}
