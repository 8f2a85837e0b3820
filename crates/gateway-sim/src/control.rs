//! Control methods, which no real gateway has. With them a test in another process reads the
//! simulator's state and acts like a person at the gateway. They are not announced, need no scopes,
//! and are neither logged nor counted.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    answer::{Outcome, Refusal},
    calls::Shared,
};

/// Answers a control method; returns `None` for any other method.
pub(crate) fn answer(shared: &Arc<Shared>, name: &str, params: &Value) -> Option<Outcome> {
    let method = name.strip_prefix("simulator.")?;
    let mut inner = shared.lock();
    let answer = match method {
        "effects" => serde_json::to_value(&inner.world.effects).unwrap_or_default(),
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
            // The delay lets the answer be sent before the connections close.
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
