//! `worker token NAME`: makes a token for the dashboard and the API.

use anyhow::anyhow;
use serde_json::json;

use crate::exit::{Exit, OrExit};
use crate::http::action::Role;
use crate::http::token::{Token, random};
use crate::output::Output;

/// Runs the command. The token is shown here and nowhere else.
pub fn run(output: Output, name: &str, role: Role) -> Result<(), Exit> {
    let secret = random();
    let entry = Token::of(name, role, &secret).map_err(|error| anyhow!(error)).or_usage()?.entry();
    output.print(&json!({ "name": name, "role": role, "token": secret, "entry": entry }), || {
        format!(
            "Token of {name}, shown only now:\n  {secret}\nAdd this to http.tokens (MISSION_HTTP_TOKENS):\n  {entry}"
        )
    });
    Ok(())
}
