//! Data to compress.

/// Words in an order that is drawn: what compresses to about a quarter.
pub fn text(bytes: usize) -> Vec<u8> {
    let words: Vec<&str> = include_str!("../../ARCHITECTURE.md").split_inclusive(' ').collect();
    let mut state = 88_172_645_463_325_252_u64;
    let mut text = Vec::with_capacity(bytes + 64);
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let start = usize::try_from(state % words.len() as u64).unwrap_or(0);
        words[start..].iter().take(1 + (state >> 60) as usize).for_each(|word| text.extend(word.bytes()));
    }
    text.truncate(bytes);
    text
}
