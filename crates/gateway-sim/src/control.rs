//! Methods that no real gateway has: with them a test in another process reads what the simulator
//! knows, and does what a person at the gateway would. They are not announced, need no scopes, and
//! are neither logged nor counted.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    answer::{Outcome, Refusal},
    calls::Shared,
};

/// The answer to a control method; `None` for every other.
pub(crate) fn answer(shared: &Arc<Shared>, name: &str, params: &Value) -> Option<Outcome> {
    let method = name.strip_prefix("simulator.")?;
    let mut inner = shared.lock();
    let answer = match method {
        "deeds" => serde_json::to_value(&inner.world.deeds).unwrap_or_default(),
        "state" => inner.world.snapshot(),
        "disk" => inner.world.disk_snapshot(),
        "seeds" => json!(inner.world.profile.seed_hashes()),
        "edit" => {
            shared.edit(&mut inner, &params["patch"]);
            json!({ "ok": true })
        }
        "restart" | "doctor" => {
            if method == "doctor" {
                inner.world.repair();
            }
            drop(inner);
            // Later, so that the answer is sent before the connections close.
            let gateway = Arc::clone(shared);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                gateway.restart(Duration::ZERO, None);
            });
            json!({ "ok": true })
        }
        _ => return Some(Err(Refusal::invalid(format!("unknown method: {name}")))),
    };
    Some(Ok(answer))
}
