//! `worker token NAME`: creates a token for the dashboard and the API. `worker token show`: shows
//! the local admin token.

use anyhow::anyhow;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::cli::Token as Asked;
use crate::exit::{Exit, OrExit};
use crate::output::Output;
use crate::settings::Settings;
use mission_http::listener::reachable;
use mission_http::own_token;
use mission_http::permissions::Role;
use mission_http::token::{Token, random};

/// Creates a token if a name is given; otherwise shows the local admin token.
pub fn run(settings: &Settings, output: Output, asked: &Asked) -> Result<(), Exit> {
    match &asked.name {
        Some(name) => create(output, name, asked.role),
        None => show(settings, output),
    }
}

/// Creates a token and prints it. The token itself is not stored anywhere.
fn create(output: Output, name: &str, role: Role) -> Result<(), Exit> {
    let secret = random();
    let entry = Token::of(name, role, &secret).map_err(|error| anyhow!(error)).or_usage()?.entry();
    output.print(&json!({ "name": name, "role": role, "token": secret, "entry": entry }), || {
        format!(
            "Token for {name}, shown only once:\n  {secret}\nAdd this entry to http.tokens \
                (MISSION_HTTP_TOKENS):\n  {entry}"
        )
    });
    Ok(())
}

/// Shows the local admin token; creates it if no worker has used this data directory yet.
fn show(settings: &Settings, output: Output) -> Result<(), Exit> {
    let token = own_token::load_or_create(&settings.data_dir).or_usage()?;
    let (token, file) = (token.expose_secret(), own_token::path(&settings.data_dir));
    output.print(&json!({ "token": token, "role": Role::Admin, "file": file }), || {
        format!(
            "{token}\n\nThis token gives admin permissions, but only on this machine. Sign in with\n\
             it at http://{}/login, or send it as `Authorization: Bearer TOKEN`.\n\
             It is stored in {}. To replace it, delete this file and\n\
             restart the workers.",
            reachable(settings.http_addr),
            file.display()
        )
    });
    Ok(())
}
