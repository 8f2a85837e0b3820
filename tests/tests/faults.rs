//! Provisioning on a gateway that misbehaves: each fault, and how the run must end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mission_core::apply::{Applier, Run};
use mission_core::gateway::{Clients, DeviceIdentity, Limits};
use mission_core::mirror::Mirror;
use mission_core::render::{Renderer, TemplatesConfig};
use mission_core::{Job, Outcome};
use mission_gateway_sim::{Action, Fault, Gateway, Profile, Setup};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::documents;
use crate::in_memory::{Network, play};
use crate::simulated::{seeds, start, state};

/// Returns an `Applier` for this process, with deadlines that a test can wait for.
pub fn applier() -> Applier {
    let limits = Limits {
        call: Duration::from_secs(2),
        patience: Duration::from_secs(20),
        idle: Duration::from_secs(60),
    };
    Applier {
        clients: Clients::new(Arc::new(DeviceIdentity::ephemeral()), limits),
        renderer: Renderer::new(TemplatesConfig::default()),
        mirror: Mirror::new("").unwrap(),
        seeds: seeds(),
        base_url: None,
    }
}

async fn provision(gateway: &Gateway) -> Run {
    let job = Job::from_value(documents::provision(&gateway.url(), "Ada")).unwrap();
    applier().apply("job", &job, &Arc::default()).await
}

fn code(outcome: &Outcome) -> (&str, &str) {
    (outcome.name(), outcome.failure().map_or("", |failure| &failure.code))
}

/// Lists the faults that a run overcomes by itself, with the number of config writes it then takes.
fn overcome() -> Vec<(Fault, u64)> {
    let on = Fault::on;
    vec![
        (on("config.patch", Action::DropBefore), 1),
        (on("config.patch", Action::DropAfter), 1),
        (on("config.patch", Action::Restart { outage_ms: 300, reply: false }), 1),
        (on("config.patch", Action::Restart { outage_ms: 300, reply: true }), 1),
        (on("config.patch", Action::StaleHash), 2),
        (on("config.patch", Action::LoseWrite), 2),
        (on("config.patch", Action::Garbage), 1),
        (on("config.get", Action::Garbage), 1),
        (on("config.get", Action::DropBefore).nth(2), 1),
        (on("config.get", Action::Edit(json!({ "ui": { "seamColor": "#102030" } }))).nth(1), 1),
        (on("agents.files.get", Action::DropAfter).nth(3), 1),
        (on("agents.files.set", Action::DropBefore).nth(2), 1),
        (on("agents.files.set", Action::DropAfter).nth(2), 1),
        (on("agents.files.set", Action::Restart { outage_ms: 200, reply: false }), 1),
        (on("sessions.patch", Action::DropBefore), 1),
        (on("sessions.patch", Action::DropAfter), 1),
        (on("sessions.list", Action::Garbage), 1),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_overcomes_transient_faults_and_leaves_the_same_state() {
    let mut runs = tokio::task::JoinSet::new();
    for profile in [Profile::V2026_2_9, Profile::V2026_9_6] {
        let calm = start(profile, |_| {}).await;
        assert_eq!(provision(&calm).await.outcome.name(), "done");
        for (fault, writes) in overcome() {
            runs.spawn(overcomes(profile, fault, writes, state(&calm)));
        }
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
}

async fn overcomes(profile: Profile, fault: Fault, writes: u64, expected: Value) {
    let gateway = start(profile, |setup| setup.faults = vec![fault.clone()]).await;
    let run = provision(&gateway).await;
    assert_eq!(code(&run.outcome), ("done", ""), "{profile:?} {fault:?}: {:?}", run.outcome);
    let mut ended = state(&gateway);
    if matches!(fault.action, Action::Edit(_)) {
        let kept = ended["config"].as_object_mut().unwrap().remove("ui");
        assert_eq!(kept, Some(json!({ "seamColor": "#102030" })), "a person's edit is kept");
    }
    assert_eq!(ended, expected, "{profile:?} {fault:?}");
    assert!(
        gateway.config_writes() <= writes,
        "{profile:?} {fault:?}: {} writes",
        gateway.config_writes()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn permanent_faults_end_the_run_with_a_clear_error() {
    let always = |method, action| Fault::on(method, action).times(1000);
    let cases = [
        (always("config.patch", Action::RateLimit(1500)), "busy", "rate_limited"),
        (always("config.patch", Action::Silence), "ambiguous", "unknown_effect"),
        (always("config.get", Action::Silence), "transient", "timeout"),
        (always("config.patch", Action::LoseWrite), "blocked", "not_kept"),
        (always("config.patch", Action::StaleHash), "transient", "conflict"),
        (always("connect", Action::Starting(500)), "busy", "gateway_starting"),
        (always("connect", Action::Silence), "transient", "unreachable"),
    ];
    let mut runs = tokio::task::JoinSet::new();
    for (fault, outcome, expected) in cases {
        runs.spawn(async move {
            let gateway =
                start(Profile::V2026_9_6, |setup| setup.faults = vec![fault.clone()]).await;
            let run = provision(&gateway).await;
            assert_eq!(code(&run.outcome), (outcome, expected), "{fault:?}: {:?}", run.outcome);
        });
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_sets_the_time_to_wait() {
    let gateway = start(Profile::V2026_9_6, |setup| {
        setup.faults = vec![Fault::on("config.patch", Action::RateLimit(41_000))];
    })
    .await;
    let Outcome::Busy { retry_after, .. } = provision(&gateway).await.outcome else {
        panic!("busy")
    };
    assert_eq!(retry_after, Some(Duration::from_secs(41)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_names_what_a_person_has_to_do() {
    let wrong_token = start(Profile::V2026_9_6, |setup| setup.token = Some("another".into())).await;
    let run = provision(&wrong_token).await;
    assert_eq!(code(&run.outcome), ("blocked", "unauthorized"));

    let unpaired = start(Profile::V2026_9_6, |setup| setup.options.require_pairing = true).await;
    let run = provision(&unpaired).await;
    assert_eq!(code(&run.outcome), ("blocked", "pairing_required"));
    let command = run.outcome.failure().and_then(|failure| failure.remedy.command.clone());
    let pending = unpaired.pending_devices();
    assert!(
        command.as_ref().is_some_and(|command| command.starts_with("openclaw devices approve ")),
        "{command:?}; waiting: {pending:?}"
    );

    let no_scopes = start(Profile::V2026_9_6, |setup| setup.options.no_scopes = true).await;
    let run = provision(&no_scopes).await;
    assert_eq!(code(&run.outcome), ("blocked", "pairing_required"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_device_is_admitted() {
    let gateway = start(Profile::V2026_9_6, |setup| setup.options.require_pairing = true).await;
    let applier = applier();
    let job = Job::from_value(documents::provision(&gateway.url(), "Ada")).unwrap();
    assert_eq!(applier.apply("job", &job, &Arc::default()).await.outcome.name(), "blocked");
    gateway.approve_devices();
    assert_eq!(applier.apply("job", &job, &Arc::default()).await.outcome.name(), "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_agent_can_be_created_again() {
    // The files of an agent that the gateway created itself have the gateway's own texts.
    let seeds = json!({ "AGENTS.md": "theirs", "USER.md": "theirs" });
    let gateway = start(Profile::V2026_9_6, |setup| {
        setup.options.seed_files_on_create = serde_json::from_value(seeds).unwrap();
    })
    .await;
    // The SHA-256 of the text `theirs`.
    let own = "4c55a8552a2c7261f61f798c2265e6f13358f326ae5b934096ff16bd15e62c33";
    let applier = Applier { seeds: own.parse().unwrap(), ..applier() };
    let provision = Job::from_value(documents::provision(&gateway.url(), "Ada")).unwrap();
    let cleanup = Job::from_value(documents::cleanup(&gateway.url(), "Ada")).unwrap();
    assert_eq!(
        applier.apply("provision", &provision, &Arc::default()).await.outcome.name(),
        "done"
    );
    let first = state(&gateway);
    for _ in 0..2 {
        assert_eq!(
            applier.apply("cleanup", &cleanup, &Arc::default()).await.outcome.name(),
            "done"
        );
        assert_eq!(
            applier.apply("provision", &provision, &Arc::default()).await.outcome.name(),
            "done"
        );
        let again = state(&gateway);
        assert_eq!((&again["files"], &again["sessions"]), (&first["files"], &first["sessions"]));
        let entry =
            |state: &Value| state["config"]["agents"]["entries"]["ada"]["heartbeat"].clone();
        assert_eq!(entry(&again), entry(&first));
    }
    let Outcome::Done(report) =
        applier.apply("provision", &provision, &Arc::default()).await.outcome
    else {
        panic!("done")
    };
    assert_eq!(report.written, Vec::<String>::new());
}

/// Runs these jobs one after the other, each until it is done. Returns the total time and the
/// number of runs.
async fn done(worker: &Applier, documents: &[Value]) -> (Duration, u32) {
    let (began, mut runs) = (Instant::now(), 0);
    for document in documents {
        let (job, journal) = (Job::from_value(document.clone()).unwrap(), Arc::default());
        loop {
            runs += 1;
            let outcome = worker.apply("job", &job, &journal).await.outcome;
            match &outcome {
                Outcome::Done(_) => break,
                Outcome::Transient(_) | Outcome::Ambiguous(_) | Outcome::Busy { .. }
                    if runs < 12 => {}
                _ => panic!("after {runs} runs: {outcome:?}"),
            }
        }
    }
    (began.elapsed(), runs)
}

/// Returns a gateway in this process with these faults, a worker that knows it, and jobs for the
/// whole life of an agent.
fn life(profile: Profile, faults: Vec<Fault>) -> (Arc<Gateway>, Applier, [Value; 3]) {
    let setup =
        Setup { token: Some(documents::GATEWAY_TOKEN.into()), faults, ..Setup::new(profile) };
    let gateway = Arc::new(Gateway::detached(setup));
    let network = Network::of([("gateway".to_owned(), Arc::clone(&gateway))]);
    let provision = documents::provision("ws://gateway", "Ada");
    let mut update = provision.clone();
    update["agent"]["identity_profile"] = json!({ "role": "Analyst" });
    let jobs = [provision, update, documents::cleanup("ws://gateway", "Ada")];
    (gateway, network.worker(Limits::default()), jobs)
}

#[test]
fn one_lost_request_only_delays_a_job() {
    for profile in [Profile::V2026_2_9, Profile::V2026_9_6] {
        let (calm, worker, jobs) = life(profile, vec![]);
        let (usual, _) = play(done(&worker, &jobs));
        let methods: BTreeSet<String> =
            calm.calls().iter().map(|call| call.method.clone()).collect();
        assert!(methods.len() > 5, "{methods:?}");
        for method in methods {
            let (_, worker, jobs) = life(profile, vec![Fault::on(&method, Action::Silence)]);
            let (took, runs) = play(done(&worker, &jobs));
            println!("{profile:?} {method}: {took:?} instead of {usual:?}, {runs} runs");
            assert!(took < usual + Duration::from_secs(35), "{profile:?} {method}: {took:?}");
        }
    }
}

#[test]
fn jobs_finish_on_connections_that_are_cut_after_a_few_requests() {
    for profile in [Profile::V2026_2_9, Profile::V2026_9_6] {
        for requests in 1..=7 {
            let cuts = (1..200)
                .map(|cut| Fault::at_call(cut * (requests + 1), Action::DropBefore))
                .collect();
            let (_, worker, jobs) = life(profile, cuts);
            let (took, runs) = play(done(&worker, &jobs));
            println!("{profile:?}, cut after {requests}: {took:?}, {runs} runs");
            assert!(runs <= 6, "{profile:?}, cut after {requests}: {runs} runs");
        }
    }
}
