//! Simulated gateways for tests, without the restarts that would only add noise.

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
