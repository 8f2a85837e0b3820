//! A simulated `OpenClaw` gateway: the WebSocket RPC server that agents are provisioned on, with
//! its state in memory and faults on request. For tests and the demo; nothing that works for users
//! links to it.
//!
//! ```no_run
//! use mission_gateway_sim::{Action, Fault, Gateway, Profile, Setup};
//!
//! # async fn example() -> std::io::Result<()> {
//! let gateway = Gateway::start(Setup::new(Profile::V2026_9_6)).await?;
//! gateway.inject(Fault::on("config.patch", Action::DropAfter));
//! // … point a client at gateway.url() …
//! assert!(gateway.wait_for(|calls| calls.iter().any(|call| call.method == "config.patch")).await);
//! println!("{}", gateway.state());
//! # Ok(())
//! # }
//! ```
//!
//! | File | What is in it |
//! |---|---|
//! | `setup`, `options` | what a simulated gateway is like at the start |
//! | `profile` | how the imitated versions differ |
//! | `fault` | what can go wrong, and at which call |
//! | `gateway` | the handle a test holds |
//! | `server`, `connection`, `handshake` | sockets, from the accept to the close |
//! | `calls` | the log of calls, and what is shared by all connections |
//! | `method`, `answer` | the table of methods with their parameters, and error answers |
//! | `world`, `roster`, `disk`, `host` | the state: agents, folders, sessions, configuration, and what that refers to |
//! | `running`, `deleted`, `deeds` | what the gateway runs with and how it starts; whom it had; what was done to it |
//! | `restart` | when writes of the configuration cause restarts |
//! | `agents`, `files`, `sessions`, `config`, `merge`, `health` | the methods themselves |
//! | `validate`, `includes`, `obstacles` | what is refused |
//! | `control` | methods of the simulator alone, for tests in other processes |

mod agents;
mod agents_config;
mod answer;
mod calls;
mod config;
mod connection;
mod control;
mod deeds;
mod deleted;
mod disk;
mod fault;
mod files;
mod gateway;
mod handshake;
mod health;
mod host;
mod includes;
mod merge;
mod method;
mod obstacles;
mod options;
mod profile;
mod restart;
mod running;
mod server;
mod sessions;
mod setup;
mod validate;
mod world;

pub use calls::Call;
pub use connection::Stream;
pub use deeds::{Deeds, Write};
pub use fault::{Action, Fault};
pub use gateway::Gateway;
pub use options::Options;
pub use profile::Profile;
pub use setup::{Agent, Canned, ErrorAnswer, Session, Setup};
