//! Simulated gateways for tests, without the restarts that would only disturb them.

use mission_core::seeds::Seeds;
use mission_gateway_sim::{Gateway, Profile, Setup};
use serde_json::Value;

use crate::documents::GATEWAY_TOKEN;

/// Starts a gateway that requires the token of the test documents, after a change to its setup.
pub async fn start(profile: Profile, change: impl FnOnce(&mut Setup)) -> Gateway {
    let mut setup = Setup { token: Some(GATEWAY_TOKEN.into()), ..Setup::new(profile) };
    setup.options.restarts = false;
    change(&mut setup);
    Gateway::start(setup).await.unwrap()
}

/// Returns the state of a gateway without its port and the time of its last write.
pub fn state(gateway: &Gateway) -> Value {
    let mut state = gateway.state();
    state["config"]["gateway"].as_object_mut().unwrap().remove("port");
    state["config"].as_object_mut().unwrap().remove("meta");
    state
}

/// Returns the texts that simulated gateways write into new workspaces, in addition to those of
/// real ones.
pub fn seeds() -> Seeds {
    let profiles =
        [Profile::V2026_2_9, Profile::V2026_3_13, Profile::V2026_6_11, Profile::V2026_9_6];
    let hashes = profiles.into_iter().filter_map(|profile| profile.seed_hashes().remove("USER.md"));
    Seeds::default().and(hashes.collect::<Vec<_>>().join(",").parse().unwrap())
}
