//! Bad networks: a worker and a gateway lose each other, receive messages late or one way only, or
//! are killed. The network, the clock and the hosts are simulated, and a seed determines
//! everything.
//!
//! | File | Contents |
//! |---|---|
//! | `network` | a worker and a gateway on a simulated network |
//! | `weather` | the disturbances, and when they occur |

mod network;
mod weather;

use std::time::Duration;

use mission_gateway_sim::Profile;

use network::{Storm, undisturbed};
use weather::{Disturbance, Weather};

/// The number of random storms in one test.
const STORMS: u64 = 6;

const PROFILES: [Profile; 2] = [Profile::V2026_2_9, Profile::V2026_9_6];

/// Returns the first seed: another one each time, unless `MISSION_STORM_SEED` sets it.
fn seed() -> u64 {
    std::env::var("MISSION_STORM_SEED")
        .map_or_else(|_| rand::random_range(0..1 << 32), |seed| seed.parse().unwrap())
}

#[test]
fn all_jobs_are_done_in_any_weather() {
    let first = seed();
    println!("repeat with MISSION_STORM_SEED={first}");
    let expected = PROFILES.map(undisturbed);
    for seed in first..first + STORMS {
        for (profile, expected) in PROFILES.into_iter().zip(&expected) {
            let weather = Weather::random(seed);
            let end = Storm::new(profile, seed).run(&weather);
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
fn a_gateway_that_is_cut_off_is_detected_by_its_silence() {
    for profile in PROFILES {
        // From the middle of the first job on, nothing arrives for longer than any timeout.
        for disturbance in [Disturbance::Partition, Disturbance::GatewayUnheard] {
            let weather =
                Weather::of([(Duration::from_millis(150), disturbance, Duration::from_secs(150))]);
            let end = Storm::new(profile, 1).run(&weather);
            // Two and a half ticks, and the same time again for attempts to reconnect.
            let first = end.first_run.unwrap();
            assert!(first < Duration::from_secs(120), "{profile:?} {disturbance:?}: {first:?}");
            end.check(&undisturbed(profile), &format!("{profile:?} {disturbance:?}"));
        }
    }
}

#[test]
fn a_gateway_that_receives_nothing_gets_a_new_connection() {
    for profile in PROFILES {
        // The ticks of the gateway still arrive. What is sent meanwhile is lost, and with it the
        // connection.
        let weather = Weather::of([(
            Duration::from_millis(150),
            Disturbance::WorkerUnheard,
            Duration::from_secs(10),
        )]);
        let end = Storm::new(profile, 1).run(&weather);
        assert!(end.took < Duration::from_secs(300), "{profile:?}: {:?}", end.took);
        end.check(&undisturbed(profile), &format!("{profile:?}"));
    }
}
