//! Prompts of a wanted length, different for each number.

use claw_inference::{ChatRequest, Message};

const WORDS: [&str; 40] = [
    "river", "stone", "window", "garden", "music", "winter", "letter", "bridge", "market",
    "island", "doctor", "village", "engine", "summer", "mountain", "paper", "silver", "forest",
    "kitchen", "teacher", "evening", "number", "shadow", "valley", "picture", "harbor", "morning",
    "question", "circle", "ocean", "copper", "journey", "library", "meadow", "captain", "thunder",
    "basket", "feather", "lantern", "orchard",
];

/// About as many tokens as words, in an order that looks like chance.
pub(crate) fn words(seed: usize, count: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9).wrapping_add(12345);
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        words.push(WORDS[(state >> 33) % WORDS.len()]);
    }
    words.join(" ")
}

/// A text to go on with, token by token.
pub(crate) fn request(
    seed: usize,
    prompt_tokens: usize,
    answer_tokens: u32,
    temperature: f32,
) -> ChatRequest {
    ChatRequest {
        prompt: Some(words(seed, prompt_tokens)),
        max_tokens: Some(answer_tokens),
        temperature: Some(temperature),
        without_guesses: true,
        ..ChatRequest::default()
    }
}

pub(crate) fn chat(content: String, answer_tokens: u32, temperature: f32) -> ChatRequest {
    let message = Message {
        role: "user".to_owned(),
        content,
        ..Message::default()
    };
    ChatRequest {
        messages: vec![message],
        max_tokens: Some(answer_tokens),
        temperature: Some(temperature),
        ..ChatRequest::default()
    }
}

/// What is to be copied: the model's answer is mostly in its prompt.
pub(crate) const EXTRACTIVE: [&str; 4] = [
    "Repeat the following text word by word.\n\nThe lighthouse on the northern shore was built in 1871 by a company of \
     forty masons. Its lamp burns two litres of oil in an hour and can be seen from a distance of thirty kilometres. \
     In the winter of 1903 the keeper, Anders Holm, kept it burning for nineteen nights without relief.",
    "Copy this code exactly.\n\n```python\ndef average(values):\n    total = 0\n    for value in values:\n        total = total + value\n    \
     return total / len(values)\n\ndef variance(values):\n    mean = average(values)\n    total = 0\n    for value in values:\n        \
     total = total + (value - mean) ** 2\n    return total / len(values)\n```",
    "Quote the second paragraph of this letter.\n\nDear Maria,\n\nThe train from Lisbon arrives on Thursday at half past nine in the \
     evening, and I will wait for you at the main entrance of the station with the children. Please bring the blue \
     suitcase and the documents that my brother left on the kitchen table.\n\nYours, Tomas",
    "Correct the spelling and give back the whole text.\n\nThe comittee will meet on Monday in the large hall of the town \
     library. Every member is asked to bring the report of the last year and a list of the books that were bought, \
     sold or given away. The librarian will open the doors at six o'clock in the evening.",
];

/// What is to be made up.
pub(crate) const OPEN_ENDED: [&str; 4] = [
    "Write a short story about a clockmaker who moves to a small town by the sea.",
    "Explain to a child why the sky is blue and why sunsets are red.",
    "What should somebody think about before they adopt a dog?",
    "Describe an ordinary morning in a city of the future.",
];
