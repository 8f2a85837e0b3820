//! `worker token NAME`: makes a token for the dashboard and the API. `worker token show`: shows the
//! token of this machine.

use anyhow::anyhow;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::cli::Token as Asked;
use crate::exit::{Exit, OrExit};
use crate::http::listener::reachable;
use crate::http::own_token;
use crate::http::permissions::Role;
use crate::http::token::{Token, random};
use crate::output::Output;
use crate::settings::Settings;

/// Runs the command.
pub fn run(settings: &Settings, output: Output, asked: &Asked) -> Result<(), Exit> {
    match &asked.name {
        Some(name) => make(output, name, asked.role),
        None => show(settings, output),
    }
}

/// Makes one for somebody. It is shown here and nowhere else.
fn make(output: Output, name: &str, role: Role) -> Result<(), Exit> {
    let secret = random();
    let entry = Token::of(name, role, &secret).map_err(|error| anyhow!(error)).or_usage()?.entry();
    output.print(&json!({ "name": name, "role": role, "token": secret, "entry": entry }), || {
        format!(
            "Token of {name}, shown only now:\n  {secret}\nAdd this to http.tokens \
                (MISSION_HTTP_TOKENS):\n  {entry}"
        )
    });
    Ok(())
}

/// Shows that of this machine; makes it if no worker has started yet with this data directory.
fn show(settings: &Settings, output: Output) -> Result<(), Exit> {
    let token = own_token::load_or_create(&settings.data_dir).or_usage()?;
    let (token, file) = (token.expose_secret(), own_token::path(&settings.data_dir));
    output.print(&json!({ "token": token, "role": Role::Admin, "file": file }), || {
        format!(
            "{token}\n\nIt lets an admin in who is on this machine: sign in with it at \
                http://{}/login, or send it as\n\
             `Authorization: Bearer TOKEN`. It is kept in {}; delete that and restart the\n\
             workers to have another one made.",
            reachable(settings.http_addr),
            file.display()
        )
    });
    Ok(())
}
