// A Rust program: generics, closures, a thread.
use std::collections::HashMap;
use std::thread;
use std::time::Instant;

#[inline(never)]
fn count_words(rounds: u32) -> usize {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for round in 0..rounds {
        for word in 0..1000u32 {
            *counts.entry(format!("word{}", word.wrapping_mul(round) % 777)).or_insert(0) += 1;
        }
    }
    counts.len()
}

fn main() {
    let start = Instant::now();
    let mut words = 0;
    let worker = thread::Builder::new().name("counter".into()).spawn(move || {
        let mut words = 0;
        while start.elapsed().as_millis() < 1000 {
            words = count_words(20);
        }
        words
    });
    words += worker.unwrap().join().unwrap();
    println!("words {}", words > 0);
}
