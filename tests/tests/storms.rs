//! Bad networks: a worker and a gateway that lose each other, hear each other late or one way only,
//! or are killed. The network, the clock and the hosts are simulated; a seed decides all of it.
//!
//! | File | What is in it |
//! |---|---|
//! | `sea` | a worker and a gateway on a simulated network |
//! | `weather` | what befalls them, and when |

mod sea;
mod weather;

use std::time::Duration;

use mission_gateway_sim::Profile;

use sea::{Sea, undisturbed};
use weather::{Blow, Weather};

/// Random storms in one test.
const STORMS: u64 = 6;

const PROFILES: [Profile; 2] = [Profile::V2026_2_9, Profile::V2026_9_6];

/// The first seed: another one each time, unless `MISSION_STORM_SEED` says which.
fn seed() -> u64 {
    std::env::var("MISSION_STORM_SEED")
        .map_or_else(|_| rand::random_range(0..1 << 32), |seed| seed.parse().unwrap())
}

#[test]
fn whatever_the_weather_all_jobs_arrive() {
    let first = seed();
    println!("repeat with MISSION_STORM_SEED={first}");
    let expected = PROFILES.map(undisturbed);
    for seed in first..first + STORMS {
        for (profile, expected) in PROFILES.into_iter().zip(&expected) {
            let weather = Weather::random(seed);
            let end = Sea::new(profile, seed).sail(&weather);
            println!(
                "{seed} {profile:?} {} s: {} | {weather}",
                end.took.as_secs(),
                end.runs.join(" ")
            );
            end.check(expected, &format!("seed {seed}, {profile:?}, {weather}"));
        }
    }
}

#[test]
fn a_gateway_that_is_cut_off_is_noticed_by_its_silence() {
    for profile in PROFILES {
        // From the middle of the first job on nothing comes through, for longer than anybody waits
        // for it.
        for blow in [Blow::Partition, Blow::GatewayUnheard] {
            let weather =
                Weather::of([(Duration::from_millis(150), blow, Duration::from_secs(150))]);
            let end = Sea::new(profile, 1).sail(&weather);
            // Two ticks and a half, and as long again for trying to reach it.
            let first = end.first_run.unwrap();
            assert!(first < Duration::from_secs(120), "{profile:?} {blow:?}: {first:?}");
            end.check(&undisturbed(profile), &format!("{profile:?} {blow:?}"));
        }
    }
}

#[test]
fn a_gateway_that_hears_nothing_is_left_for_a_new_connection() {
    for profile in PROFILES {
        // Its ticks still come. What was sent meanwhile is lost for good, and the connection with
        // it.
        let weather = Weather::of([(
            Duration::from_millis(150),
            Blow::WorkerUnheard,
            Duration::from_secs(10),
        )]);
        let end = Sea::new(profile, 1).sail(&weather);
        assert!(end.took < Duration::from_secs(300), "{profile:?}: {:?}", end.took);
        end.check(&undisturbed(profile), &format!("{profile:?}"));
    }
}
