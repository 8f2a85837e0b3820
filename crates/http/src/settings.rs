//! The settings of the HTTP server.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::auth::proxy::Proxies;
use crate::auth::token::Token;

/// The address of the server, and its access rules.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The address to listen on; port 0 lets the system choose one.
    pub addr: SocketAddr,
    /// The folder in which the token of this machine is kept.
    pub data_dir: PathBuf,
    /// The rules for access.
    pub access: AccessSettings,
}

/// The rules for access over HTTP.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// The tokens that were given out.
    pub tokens: Vec<Token>,
    /// A further token, of an admin.
    pub api_token: Option<SecretString>,
    /// The trusted reverse proxies.
    pub proxies: Proxies,
    /// `true` if every caller may only read.
    pub read_only: bool,
    /// The requests per second that an address may send. 0 sets no limit.
    pub requests_per_second: u32,
}
