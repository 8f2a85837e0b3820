//! A simulated `OpenClaw` gateway: the WebSocket RPC server on which agents are provisioned, with
//! its state in memory and faults on request. It is for tests and the demo only; no production code
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
//! | Modules | Content |
//! |---|---|
//! | `setup`, `options` | the initial state of a simulated gateway |
//! | `profile` | the imitated versions and their differences |
//! | `fault` | faults, and the calls at which they occur |
//! | `gateway` | the handle that a test holds |
//! | `server`, `connection`, `handshake` | sockets, from the accept to the close |
//! | `calls` | the log of calls, and the state shared by all connections |
//! | `method`, `answer` | the table of methods with their parameters, and error answers |
//! | `world`, `agents_config`, `disk`, `host` | agents, folders, sessions and the configuration |
//! | `running`, `deleted`, `effects` | configuration in use, deleted agents, record of writes |
//! | `restart` | the restarts that writes of the configuration cause |
//! | `agents`, `files`, `sessions`, `config`, `merge`, `health` | the methods themselves |
//! | `validate`, `includes`, `obstacles` | the reasons to refuse a write |
//! | `control` | methods of the simulator alone, for tests in other processes |

mod agents;
mod agents_config;
mod answer;
mod calls;
mod config;
mod connection;
mod control;
mod deleted;
mod disk;
mod effects;
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

pub use answer::Refusal;
pub use calls::Call;
pub use connection::Stream;
pub use effects::{Effects, Write};
pub use fault::{Action, Fault};
pub use gateway::Gateway;
pub use options::Options;
pub use profile::Profile;
pub use setup::{Agent, Canned, Session, Setup};
