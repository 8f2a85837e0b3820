//! The settings of the server.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::proxy::Proxies;
use crate::token::Token;

/// Where a worker serves HTTP, and whom it lets in there.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The address to listen on; port 0 lets the system choose one.
    pub addr: SocketAddr,
    /// The folder in which the token of this machine is kept.
    pub data_dir: PathBuf,
    /// Who is let in.
    pub access: AccessSettings,
}

/// Who is let in.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// Who was given a token.
    pub tokens: Vec<Token>,
    /// One more token, of an admin.
    pub api_token: Option<SecretString>,
    /// Proxies that are trusted.
    pub proxies: Proxies,
    /// Whether everybody may only look.
    pub read_only: bool,
    /// How many requests a second one address may send; 0 is without limit.
    pub requests_per_second: u32,
}
