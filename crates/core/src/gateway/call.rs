//! One run's calls to a gateway: counts their cost, repeats reads when a connection is lost, and
//! never repeats a write.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::answer::Answer;
use super::client::Client;
use super::connection::Connection;
use super::defects::Defect;
use super::error::GatewayError;
use super::patience::{Patience, RECONNECT};
use super::protocol::Method;
use super::server_info::ServerInfo;
use super::step::Step;
use crate::journal::Journal;
use crate::sanitize::one_line;

/// The most steps kept of one run.
const MAX_STEPS: usize = 64;
/// The longest error text kept of one step, in characters.
const MAX_ERROR_TEXT: usize = 2_000;

/// The cost of a run, as counts since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// The number of requests sent, `connect` included.
    pub rpcs: u32,
    /// The number of requests that waited for the one before.
    pub round_trips: u32,
    /// The number of connections opened.
    pub connections: u32,
    /// The number of config writes sent, refused ones included.
    pub config_writes: u32,
}

/// A run's calls to one gateway.
#[derive(Debug)]
pub struct Call {
    client: Arc<Client>,
    journal: Arc<Journal>,
    began: Instant,
    /// The gateway as it presented itself when the run first reached it.
    server_info: OnceLock<Arc<ServerInfo>>,
    /// Locked only to count or to copy.
    log: Mutex<Log>,
}

/// The requests of a run so far.
#[derive(Debug, Default)]
struct Log {
    cost: Cost,
    /// The exchanges in flight; those that begin meanwhile do not count as round trips of their
    /// own.
    exchanges: u32,
    steps: Vec<Step>,
}

impl Call {
    /// Creates the calls of a run whose job has done nothing yet.
    #[must_use]
    pub fn new(client: Arc<Client>) -> Self {
        Self::of_job(client, Arc::default())
    }

    /// Creates the calls of a run whose job has done what the journal says.
    #[must_use]
    pub fn of_job(client: Arc<Client>, journal: Arc<Journal>) -> Self {
        let (server_info, log) = Default::default();
        Self { client, journal, began: Instant::now(), server_info, log }
    }

    /// Returns the client of the gateway.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the journal of the run's job.
    #[must_use]
    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Returns the agent that the gateway uses when none is named; known once the gateway was
    /// reached.
    #[must_use]
    pub fn default_agent(&self) -> &str {
        self.server_info().map_or("main", |server| &server.default_agent)
    }

    /// Returns whether the gateway announced agent ownership when it was reached; such gateways
    /// keep agents under `agents.entries`.
    #[must_use]
    pub fn has_ownership(&self) -> bool {
        self.server_info().is_some_and(|server| server.has_ownership)
    }

    /// Returns whether the gateway's version has a defect; known once the gateway was reached.
    #[must_use]
    pub fn has_defect(&self, defect: Defect) -> bool {
        self.server_info().is_some_and(|server| defect.is_in(&server.version))
    }

    /// Returns the gateway as it presented itself; `None` until it was reached.
    #[must_use]
    pub fn server_info(&self) -> Option<&ServerInfo> {
        self.server_info.get().map(Arc::as_ref)
    }

    /// Returns the first requests of the run, in order.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        self.log().steps.clone()
    }

    /// Returns the cost of the run so far.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.log().cost
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no panic happens under this lock")
    }

    /// Connects if there is no connection yet.
    pub async fn open(&self) -> Result<(), GatewayError> {
        self.connect().await.map(drop)
    }

    /// Sends one read request, and repeats it over a new connection when one is lost.
    pub async fn read(&self, method: Method, params: Value) -> Result<Answer, GatewayError> {
        let mut answers = self.read_all(vec![(method, params)]).await?;
        answers.pop().expect("one question has one answer")
    }

    /// Sends many read requests at once, and repeats those whose answer was lost. Each answer is
    /// independent of the others.
    pub async fn read_all(
        &self,
        questions: Vec<(Method, Value)>,
    ) -> Result<Vec<Result<Answer, GatewayError>>, GatewayError> {
        debug_assert!(
            questions.iter().all(|(method, _)| !method.is_mutating()),
            "a write is never repeated"
        );
        let bound = self.client.limits().patience;
        let mut patience = Patience::new(bound, questions.len());
        let mut answers = self.exchange(&questions.iter().collect::<Vec<_>>()).await?;
        loop {
            // Requests answered before the connection was lost are not repeated.
            let is_lost = |answer: &Result<_, GatewayError>| {
                answer.as_ref().is_err_and(GatewayError::is_connection_lost)
            };
            let open: Vec<_> = (0..answers.len()).filter(|at| is_lost(&answers[*at])).collect();
            let Some(Err(error)) = open.first().map(|at| &answers[*at]) else { return Ok(answers) };
            // A connection that was lost only after a long silence is not progress.
            if open.len() < patience.open && Instant::now() < patience.until {
                patience = Patience::new(bound, open.len());
            }
            if !patience.wait(error).await {
                return Ok(answers);
            }
            let again =
                self.exchange(&open.iter().map(|at| &questions[*at]).collect::<Vec<_>>()).await?;
            for (at, answer) in open.into_iter().zip(again) {
                answers[at] = answer;
            }
        }
    }

    /// Sends one mutating request, once. When the error [may have been carried
    /// out](GatewayError::may_have_been_carried_out), read before sending it again.
    pub async fn write(&self, method: Method, params: Value) -> Result<Value, GatewayError> {
        let mut answers = self.write_all(vec![(method, params)]).await?;
        answers.pop().expect("one request has one answer")
    }

    /// Sends many mutating requests at once, each once.
    pub async fn write_all(
        &self,
        requests: Vec<(Method, Value)>,
    ) -> Result<Vec<Result<Value, GatewayError>>, GatewayError> {
        let writes = requests.iter().filter(|(method, _)| *method == Method::ConfigPatch).count();
        self.log().cost.config_writes += u32::try_from(writes).unwrap_or(u32::MAX);
        let answers = self.exchange(&requests.iter().collect::<Vec<_>>()).await?;
        Ok(answers.into_iter().map(|answer| answer.map(Answer::into_value)).collect())
    }

    /// Sends all requests at once over one connection, as one round trip.
    async fn exchange(
        &self,
        requests: &[&(Method, Value)],
    ) -> Result<Vec<Result<Answer, GatewayError>>, GatewayError> {
        let connection = self.connect().await?;
        self.log().begin_exchange();
        let calls = requests.iter().map(|(method, params)| self.ask(&connection, *method, params));
        let answers = join_all(calls).await;
        self.log().exchanges -= 1;
        Ok(answers)
    }

    /// Sends a request, and handles a late answer as [`Method::overdue`] describes.
    async fn ask(
        &self,
        connection: &Arc<Connection>,
        method: Method,
        params: &Value,
    ) -> Result<Answer, GatewayError> {
        let overdue = method.overdue();
        if !method.is_mutating() {
            return self.ask_again(connection, method, params).await;
        }
        let may_be_late = overdue < self.client.limits().deadline(method);
        let began = Instant::now();
        let answer = pin!(self.timed(connection, method, params));
        tokio::select! {
            biased;
            answer = answer => answer,
            () = self.proven_alive(connection, overdue), if may_be_late => {
                let error = GatewayError::Unanswered { method, after: overdue };
                self.record(method, began, Some(&error));
                Err(error)
            }
        }
    }

    /// Sends a read request, and again over another connection if the answer is late. The first
    /// answer counts.
    async fn ask_again(
        &self,
        connection: &Arc<Connection>,
        method: Method,
        params: &Value,
    ) -> Result<Answer, GatewayError> {
        let overdue = method.overdue();
        let began = Instant::now();
        let mut first = pin!(self.timed(connection, method, params));
        if overdue >= self.client.limits().deadline(method) {
            return first.await;
        }
        if let Ok(answer) = timeout(overdue, &mut first).await {
            return answer;
        }
        let again = async {
            let connecting = Instant::now();
            let (another, is_new) = self.client.reconnect(connection).await?;
            self.note_connection(is_new, connecting);
            self.timed(&another, method, params).await
        };
        tokio::select! {
            answer = &mut first => answer,
            answer = again => match answer {
                // A busy gateway accepts no other connection, but answers eventually.
                Err(error) if error.rpc().is_none() => first.await,
                answer => {
                    let error = GatewayError::Unanswered { method, after: overdue };
                    self.record(method, began, Some(&error));
                    answer
                }
            },
        }
    }

    /// Returns once the answer is overdue and the gateway has answered a question that was asked
    /// after that.
    async fn proven_alive(&self, connection: &Arc<Connection>, overdue: Duration) {
        sleep(overdue).await;
        let question = async |_| {
            // Any answer proves it, and this question is cheap.
            let params = json!({ "key": "agent:main:main" });
            match self.ask_again(connection, Method::SessionsResolve, &params).await {
                Err(error) if error.rpc().is_none() => Err(error),
                _ => Ok(()),
            }
        };
        while self.client.liveness.read(question).await.is_err() {
            sleep(RECONNECT.max()).await;
        }
        // Leaves time for answers that are already on their way.
        sleep(RECONNECT.max()).await;
    }

    async fn timed(
        &self,
        connection: &Arc<Connection>,
        method: Method,
        params: &Value,
    ) -> Result<Answer, GatewayError> {
        let began = Instant::now();
        let answer = connection.call(method, params).await;
        self.client.learn(|known| known.observe(method, answer.as_ref()));
        self.record(method, began, answer.as_ref().err());
        answer
    }

    /// Returns the connection. Waits for a gateway that this run has reached before, because it is
    /// then restarting.
    async fn connect(&self) -> Result<Arc<Connection>, GatewayError> {
        let mut patience = Patience::new(self.client.limits().patience, 1);
        loop {
            let began = Instant::now();
            let error = match self.client.connection().await {
                Ok((connection, is_new)) => {
                    self.note_connection(is_new, began);
                    self.server_info.get_or_init(|| Arc::clone(connection.server_info()));
                    return Ok(connection);
                }
                Err(error) => error,
            };
            self.record(Method::Connect, began, Some(&error));
            let is_restarting = self.server_info().is_some() && error.is_connection_lost();
            if !(is_restarting && patience.wait(&error).await) {
                return Err(error);
            }
        }
    }

    fn note_connection(&self, is_new: bool, began: Instant) {
        if is_new {
            let mut log = self.log();
            log.cost.connections += 1;
            log.cost.round_trips += 1;
            drop(log);
            self.record(Method::Connect, began, None);
        }
    }

    fn record(&self, method: Method, began: Instant, error: Option<&GatewayError>) {
        let mut log = self.log();
        log.cost.rpcs += 1;
        if log.steps.len() < MAX_STEPS {
            log.steps.push(Step {
                name: method.as_str().to_owned(),
                at_ms: millis(began.duration_since(self.began)),
                duration_ms: millis(began.elapsed()),
                note: error.map(|error| one_line(&error.to_string(), MAX_ERROR_TEXT)),
            });
        }
    }
}

impl Log {
    fn begin_exchange(&mut self) {
        self.cost.round_trips += u32::from(self.exchanges == 0);
        self.exchanges += 1;
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
