//! Simulated gateways for tests, without the restarts that would only add noise.

use mission_core::seeds::Seeds;
use mission_gateway_sim::{Gateway, Profile, Setup};
use serde_json::Value;

use crate::documents::GATEWAY_TOKEN;

/// A gateway that wants the token of the test documents, after a change to its setup.
pub async fn start(profile: Profile, change: impl FnOnce(&mut Setup)) -> Gateway {
    let mut setup = Setup { token: Some(GATEWAY_TOKEN.into()), ..Setup::new(profile) };
    setup.options.restarts = false;
    change(&mut setup);
    Gateway::start(setup).await.unwrap()
}

/// What is on a gateway, but for its port and for when it was last written.
pub fn state(gateway: &Gateway) -> Value {
    let mut state = gateway.state();
    state["config"]["gateway"].as_object_mut().unwrap().remove("port");
    state["config"].as_object_mut().unwrap().remove("meta");
    state
}

/// What simulated gateways write into new workspaces, besides what real ones do.
pub fn seeds() -> Seeds {
    let profiles =
        [Profile::V2026_2_9, Profile::V2026_3_13, Profile::V2026_6_11, Profile::V2026_9_6];
    let hashes = profiles.into_iter().filter_map(|profile| profile.seed_hashes().remove("USER.md"));
    Seeds::default().and(hashes.collect::<Vec<_>>().join(",").parse().unwrap())
}
