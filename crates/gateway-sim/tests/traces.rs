//! Replays recorded requests of real gateways in their order, and compares the answers.
//!
//! A difference is allowed only if a table here or in `comparison` names it.

use std::{collections::BTreeMap, fs, path::PathBuf};

use mission_gateway_sim::{Gateway, Options, Profile, Setup};
use serde_json::{Value, json};

use crate::{
    client::{Client, Gone},
    comparison::{compare, recorded_part},
};

/// The cases that are not compared, each with the reason.
const NOT_COMPARED: &[(&str, &str, &str, &str)] = &[
    (
        "2026.9.6",
        "agents.list",
        "after",
        "shows an agent's old name: the real gateway answers from a stale copy",
    ),
    ("2026.9.6", "agents.list", "after delete", "shows a deleted agent, for the same reason"),
    (
        "2026.9.6",
        "config.patch",
        "rate limited",
        "was recorded without its request; tested in options.rs",
    ),
];

/// The order of the recording: each file, and the number of its cases that come next.
const ALL: usize = usize::MAX;
const ORDER: &[(&str, usize)] = &[
    ("health", ALL),
    ("status", ALL),
    ("agents.list", 2),
    ("unknown-method", ALL),
    ("sessions.patch", 1),
    ("agents.create", 1),
    ("agents.update", 1),
    ("agents.list", 1),
    ("agents.list", 1),
    ("agents.files.list", 3),
    ("agents.files.get", ALL),
    ("agents.create", ALL),
    ("agents.update", ALL),
    ("agents.files.delete", ALL),
    ("agents.files.set", ALL),
    ("agents.files.list", ALL),
    ("sessions.patch", ALL),
    ("sessions.list", ALL),
    ("sessions.reset", ALL),
    ("chat.send", ALL),
    ("sessions.delete", 6),
    ("agents.delete", ALL),
    ("agents.list", ALL),
    ("sessions.delete", ALL),
    ("config.get", ALL),
];

#[tokio::test]
async fn the_old_gateway() {
    replay(Profile::V2026_2_9, "2026.2.9").await;
}

#[tokio::test]
async fn the_new_gateway() {
    replay(Profile::V2026_9_6, "2026.9.6").await;
}

/// For these versions only the differences were recorded: merging, refusing and limiting patches.
#[tokio::test]
async fn the_gateways_between() {
    for (profile, version) in
        [(Profile::V2026_3_13, "2026.3.13"), (Profile::V2026_6_11, "2026.6.11")]
    {
        let patches = Traces::read(version).rest.remove("config.patch").unwrap();
        assert!(patches.len() > 10, "the recordings of {version} are missing");
        let mut setup = Setup::new(profile);
        // The recording waited for the rate limit to pass.
        setup.options.patches_per_minute = Some(100);
        setup.options.restarts = profile == Profile::V2026_6_11;
        setup.options.restart_outage_ms = 0;
        let mut session = Session::start(setup, version).await;
        for case in patches.iter().filter(|case| case["case"] != "rate limited") {
            session.replay_patch(case).await;
        }
        assert!(session.report.is_empty(), "\n{}", session.report.join("\n"));

        let mut limited = Session::start(Setup::new(profile), version).await;
        let recorded = patches.iter().find(|case| case["case"] == "rate limited").unwrap();
        for _ in 0..3 {
            let refused = limited
                .client
                .call("config.patch", json!({ "raw": "{}" }))
                .await
                .unwrap()
                .unwrap_err();
            assert_eq!(refused["code"], "INVALID_REQUEST");
        }
        let refused =
            limited.client.call("config.patch", json!({ "raw": "{}" })).await.unwrap().unwrap_err();
        for field in ["code", "retryable", "details"] {
            assert_eq!(refused[field], recorded["response"]["error"][field]);
        }
    }
}

/// For these versions one session was recorded, from the first call on a fresh gateway to the
/// deletion of its agents, with the parts of the answers that provisioning reads.
#[tokio::test]
async fn the_gateways_that_lose_something() {
    for (profile, version) in [(Profile::V2026_5_7, "2026.5.7"), (Profile::V2026_8_2, "2026.8.2")] {
        let cases = Traces::read(version).rest.remove("session").unwrap();
        let first = |name: &str| {
            cases.iter().find(|case| case["case"] == name).unwrap()["response"]["payload"].clone()
        };
        let seeds = first("seeded agents.files.list")["files"].as_array().unwrap().clone();
        let seeds = seeds.iter().filter(|file| file["missing"] == false).map(|file| {
            let size = usize::try_from(file["size"].as_u64().unwrap()).unwrap();
            (file["name"].as_str().unwrap().to_owned(), "x".repeat(size))
        });
        let mut setup =
            Setup { config: first("fresh config.get")["parsed"].clone(), ..Setup::new(profile) };
        setup.options.seed_files_on_create = Some(seeds.collect());
        // The recording waited for the rate limit to pass.
        setup.options.patches_per_minute = Some(100);
        setup.options.restart_outage_ms = 0;
        // The restart comes after the answer, and the recording reconnected before it continued.
        setup.options.restarts = profile == Profile::V2026_5_7;
        let mut session = Session::start(setup, version).await;
        for case in &cases {
            session.replay_part(case).await;
        }
        assert!(session.report.is_empty(), "\n{}", session.report.join("\n"));
    }
}

async fn replay(profile: Profile, version: &str) {
    let mut traces = Traces::read(version);
    assert!(traces.rest.len() > 15, "the recordings of {version} are missing");
    let patches = traces.rest.remove("config.patch").unwrap();
    let connect = traces.rest.remove("connect").unwrap();
    let setup = traces.setup(profile);
    let mut session = Session::start(setup.clone(), version).await;
    session.compare_hello(&connect[0]);
    for (file, count) in ORDER {
        for case in traces.next(file, *count) {
            session.replay(file, &case).await;
        }
    }
    assert!(traces.rest.values().all(Vec::is_empty), "every recorded case is in the order");
    // The patches were recorded on a fresh gateway.
    let mut fresh = Session::start(setup, version).await;
    for case in patches {
        fresh.replay("config.patch", &case).await;
    }
    session.report.extend(fresh.report);
    assert!(session.report.is_empty(), "\n{}", session.report.join("\n"));
    let skipped = NOT_COMPARED.iter().filter(|row| row.0 == version).count();
    assert_eq!(session.skipped + fresh.skipped, skipped, "every row of the table is needed");
}

/// The recorded cases of a version, by file.
struct Traces {
    rest: BTreeMap<String, Vec<Value>>,
}

impl Traces {
    fn read(version: &str) -> Self {
        let folder: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "tests", "traces", version].iter().collect();
        let rest = fs::read_dir(folder).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            let cases: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let cases = if cases.is_array() { cases } else { json!([cases]) };
            // Some entries are notes about events, without a request.
            let cases = cases
                .as_array()
                .unwrap()
                .iter()
                .filter(|case| case.get("response").is_some())
                .cloned();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), cases.collect())
        });
        Self { rest: rest.collect() }
    }

    fn next(&mut self, file: &str, count: usize) -> Vec<Value> {
        let cases = self.rest.get_mut(file).unwrap();
        let count = count.min(cases.len());
        cases.drain(..count).collect()
    }

    fn case(&self, file: &str, name: &str) -> &Value {
        let case = self.rest[file].iter().find(|case| case["case"] == name).unwrap();
        &case["response"]["payload"]
    }

    /// Returns the state of the gateway before the recording: one unconfigured agent, and templates
    /// for new ones.
    fn setup(&self, profile: Profile) -> Setup {
        let mut config = self.case("config.get", "ok")["parsed"].clone();
        let agents = config["agents"].as_object_mut().unwrap();
        for added in ["list", "entries", "ownership"] {
            agents.remove(added);
        }
        for added in ["systemAgent", "heartbeat"] {
            agents["defaults"].as_object_mut().unwrap().remove(added);
        }
        config.as_object_mut().unwrap().remove("talk");
        let soul = self.case("agents.files.get", "SOUL.md")["file"]["content"]
            .as_str()
            .unwrap()
            .to_owned();
        let files = self.case("agents.files.list", "ok")["files"].as_array().unwrap();
        let seeds = files.iter().filter(|file| file["missing"] == false).map(|file| {
            let size = usize::try_from(file["size"].as_u64().unwrap()).unwrap();
            let name = file["name"].as_str().unwrap().to_owned();
            let content = if name == "SOUL.md" { soul.clone() } else { "x".repeat(size) };
            (name, content)
        });
        let options = Options {
            restarts: false,
            seed_files_on_create: Some(seeds.collect()),
            ..Options::default()
        };
        Setup { config, options, ..Setup::new(profile) }
    }
}

/// A simulated gateway that is compared with a recorded one.
struct Session {
    gateway: Gateway,
    client: Client,
    version: String,
    report: Vec<String>,
    skipped: usize,
}

impl Session {
    async fn start(setup: Setup, version: &str) -> Self {
        let gateway = Gateway::start(setup).await.unwrap();
        let client = Client::connected(&gateway.url(), "TOKEN").await;
        Self { gateway, client, version: version.to_owned(), report: Vec::new(), skipped: 0 }
    }

    async fn replay(&mut self, file: &str, case: &Value) {
        let name = case["case"].as_str().unwrap();
        if NOT_COMPARED.iter().any(|row| (row.0, row.1, row.2) == (&self.version, file, name)) {
            self.skipped += 1;
            return;
        }
        let mut params = case["request"]["params"].clone();
        if name == "1MB" {
            params["content"] = "x".repeat(1_000_000).into();
        }
        if params["baseHash"].as_str().is_some_and(|hash| !hash.starts_with("0000")) {
            params["baseHash"] = self.client.ok("config.get", json!({})).await["hash"].clone();
        }
        let method = case["request"]["method"].as_str().unwrap_or(file);
        let answer = match self.client.call(method, params).await {
            Ok(Ok(payload)) => json!({ "ok": true, "payload": payload }),
            Ok(Err(error)) => json!({ "ok": false, "error": error }),
            Err(gone) => {
                self.client = Client::connected(&self.gateway.url(), "TOKEN").await;
                let Gone::Closed(code) = gone else { panic!("{file}: {name}: cut") };
                json!({ "ok": false, "error": { "code": "CLOSED", "message": format!("{code} ") } })
            }
        };
        let mut recorded = case["response"].clone();
        recorded.as_object_mut().unwrap().retain(|field, _| field != "type" && field != "id");
        compare(
            &format!("{} {file} ({name}): ", self.version),
            &recorded,
            &answer,
            &mut self.report,
        );
    }

    /// Compares the parts of an answer that were recorded.
    async fn replay_part(&mut self, case: &Value) {
        let mut params = case["request"]["params"].clone();
        if params["baseHash"].as_str().is_some_and(|hash| !hash.starts_with("0000")) {
            params["baseHash"] = self.client.ok("config.get", json!({})).await["hash"].clone();
        }
        let recorded = &case["response"];
        let answer = match case["request"]["method"].as_str().unwrap() {
            "connect" => json!({ "ok": true, "payload": self.client.hello }),
            method => match self.client.call(method, params).await {
                Ok(Ok(payload)) => json!({ "ok": true, "payload": payload }),
                Ok(Err(error)) => json!({ "ok": false, "error": error }),
                Err(gone) => {
                    assert_eq!(gone, Gone::Closed(1012));
                    self.client = Client::connected(&self.gateway.url(), "TOKEN").await;
                    json!({ "ok": false, "error": { "code": "CLOSED", "message": "closed 1012 \
                        service restart" } })
                }
            },
        };
        let place = format!("{} {}: ", self.version, case["case"].as_str().unwrap());
        compare(&place, recorded, &recorded_part(recorded, &answer), &mut self.report);
    }

    /// Compares the refusal of a patch, or the resulting list of agents and the rest of the answer.
    async fn replay_patch(&mut self, case: &Value) {
        let mut params = case["request"]["params"].clone();
        if params["baseHash"].as_str().is_some_and(|hash| !hash.starts_with("0000")) {
            params["baseHash"] = self.client.ok("config.get", json!({})).await["hash"].clone();
        }
        let method = case["request"]["method"].as_str().unwrap_or("config.patch");
        let essence = |payload: &Value| {
            let has = |name: &str| payload.get(name).is_some();
            json!([
                payload["config"]["agents"]["list"],
                has("noop"),
                has("restart"),
                has("sentinel"),
                payload["agentId"]
            ])
        };
        let answer = match self.client.call(method, params).await {
            Ok(Ok(payload)) => essence(&payload),
            Ok(Err(error)) => error,
            Err(gone) => {
                assert_eq!(gone, Gone::Closed(1012));
                self.client = Client::connected(&self.gateway.url(), "TOKEN").await;
                json!({ "code": "CLOSED", "message": "1012 service restart" })
            }
        };
        let response = &case["response"];
        let recorded = if response["ok"] == true {
            essence(&response["payload"])
        } else {
            response["error"].clone()
        };
        compare(
            &format!("{} {}: ", self.version, case["case"]),
            &recorded,
            &answer,
            &mut self.report,
        );
    }

    fn compare_hello(&mut self, case: &Value) {
        let mut recorded = case["response"]["payload"].clone();
        let mut hello = self.client.hello.clone();
        // These contain far more than provisioning needs, and the simulator has only some of the
        // real ones.
        for list in ["methods", "events"] {
            let real = recorded["features"].as_object_mut().unwrap().remove(list).unwrap();
            let own = hello["features"].as_object_mut().unwrap().remove(list).unwrap();
            let real = real.as_array().unwrap();
            assert!(
                own.as_array().unwrap().iter().all(|name| real.contains(name)),
                "{list}: {own}"
            );
        }
        // These parts depend on other connections, and on a client that requests two more scopes.
        for answer in [&mut recorded, &mut hello] {
            answer["snapshot"]
                .as_object_mut()
                .unwrap()
                .retain(|name, _| name != "presence" && name != "stateVersion");
            answer["auth"]["scopes"] = json!([]);
        }
        compare(&format!("{} hello: ", self.version), &recorded, &hello, &mut self.report);
    }
}
