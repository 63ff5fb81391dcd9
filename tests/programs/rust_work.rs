// Shows Rust: threads with names, a trait object, a generic function, a closure. Argument: rounds.
// build: -C opt-level=2 -C debuginfo=0

use std::arch::asm;
use std::thread;

// The compiler cannot see through it.
#[inline(always)]
fn opaque(value: u64) -> u64 {
    let mut result = value;
    unsafe { asm!("/* {0} */", inout(reg) result, options(nomem, nostack)) };
    result
}

mod garden {
    use super::opaque;

    pub trait Chore {
        fn do_it(&self, rounds: u64) -> u64;
    }

    pub struct Weeding;

    impl Chore for Weeding {
        #[inline(never)]
        fn do_it(&self, rounds: u64) -> u64 {
            let mut x = opaque(1u64);
            for i in 0..rounds {
                x = opaque(x.wrapping_mul(6364136223846793005).wrapping_add(i));
            }
            x
        }
    }

    #[inline(never)]
    pub fn water<T: Into<u64> + Copy>(plant: T, rounds: u64) -> u64 {
        let mut x = opaque(1u64);
        for _ in 0..rounds {
            x = opaque(x.wrapping_mul(2862933555777941757).wrapping_add(plant.into()));
        }
        x
    }
}

fn main() {
    let rounds: u64 = std::env::args().nth(1).map_or(300_000_000, |text| text.parse().unwrap());
    let weeder = thread::Builder::new().name("weeder".to_string()).spawn(move || {
        let chore: Box<dyn garden::Chore> = Box::new(garden::Weeding);
        chore.do_it(rounds)
    });
    let watered = garden::water(7u32, rounds);
    let weeded = weeder.unwrap().join().unwrap();
    println!("{{\"watered\": {}, \"weeded\": {}}}", watered % 1000, weeded % 1000);
}
