//! Tests of the command line: exit statuses, output, and the permissions of written files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mission_gateway_sim::Profile;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::documents::{self, AGENT_TOKEN, GATEWAY_TOKEN};
use crate::processes::{Ended, Worker};
use crate::simulated::start;

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn worker(folder: &TempDir, arguments: &[&str]) -> Ended {
    Worker::new(folder.path()).env("MISSION_HTTP_ADDR", "127.0.0.1:0").run(arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_through_the_private_redis() {
    let (folder, gateway) = (TempDir::new().unwrap(), start(Profile::V2026_9_6, |_| {}).await);
    let file = write(&folder, "job.json", documents::provision(&gateway.url(), "Ada").to_string());
    let enqueued = worker(&folder, &["enqueue", text(&file)]).await;
    assert_eq!(
        (enqueued.status, &enqueued.answer["state"]),
        (Some(0), &json!("ready")),
        "{}",
        enqueued.said
    );
    assert_eq!(enqueued.answer["superseded"], json!([]));

    // The most verbose level, at which no secret may be logged either.
    let config = write(&folder, "worker.toml", "[log]\nlevel = \"trace\"\n");
    let ran = worker(&folder, &["--config", text(&config), "run", "--until-idle"]).await;
    assert_eq!(ran.status, Some(0), "{}", ran.said);
    let id = enqueued.answer["id"].as_str().unwrap();
    let shown = worker(&folder, &["jobs", "show", id]).await;
    assert_eq!(shown.answer["state"], "done", "{}", shown.said);
    assert_eq!(shown.answer["report"]["config_writes"], 1);
    assert_eq!(shown.answer["document"]["auth_token"], "***");
    assert_eq!(shown.answer["document"]["gateway"]["token"], "***");
    let output = format!("{}{}{}{}", enqueued.said, ran.said, shown.said, shown.answer);
    assert!(
        !output.contains(GATEWAY_TOKEN) && !output.contains(AGENT_TOKEN),
        "a secret is printed: {output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_invalid_document_prevents_enqueueing_all() {
    let folder = TempDir::new().unwrap();
    let good =
        write(&folder, "good.json", documents::cleanup("ws://127.0.0.1:9", "Ada").to_string());
    let mut bad = documents::provision("ws://127.0.0.1:9", "Ada");
    bad["agent"]["heartbeet_config"] = json!({});
    let bad = write(
        &folder,
        "bad.json",
        format!("{}\n{bad}\n", documents::cleanup("ws://127.0.0.1:9", "Bo")),
    );
    let enqueued = worker(&folder, &["enqueue", text(&good), text(&bad)]).await;
    assert_eq!(enqueued.status, Some(2));
    let said = &enqueued.said;
    assert!(
        said.contains("bad.json line 2: agent.heartbeet_config: unknown field; remove it, or use"),
        "{said}"
    );
    let listed = worker(&folder, &["jobs", "list"]).await;
    assert_eq!((listed.status, listed.answer), (Some(0), Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_stored_or_refused_with_a_status() {
    let folder = TempDir::new().unwrap();
    let [ada, bea] =
        ["Ada", "Bea"].map(|name| documents::cleanup("ws://127.0.0.1:9", name).to_string());
    let twice = ada.replacen("{\"", "{\"kind\":\"provision\",\"", 1);
    let twice = worker(&folder, &["enqueue", text(&write(&folder, "twice.json", twice))]).await;
    assert_eq!((twice.status, twice.refused_at().as_str()), (Some(2), "kind"), "{}", twice.said);

    let marked = write(&folder, "marked.json", format!("\u{feff}{ada}\n{bea}\n"));
    let marked = worker(&folder, &["enqueue", text(&marked)]).await;
    assert_eq!((marked.status, marked.answers.len()), (Some(0), 2), "{}", marked.said);

    let (ada, bea) = (write(&folder, "ada.json", ada), write(&folder, "bea.json", bea));
    let keyed = async |file: &Path| {
        worker(&folder, &["enqueue", "--idempotency-key", "k", text(file)]).await
    };
    let (first, same, other) = (keyed(&ada).await, keyed(&ada).await, keyed(&bea).await);
    assert_eq!((first.status, &first.answer["duplicate"]), (Some(0), &json!(false)));
    assert_eq!((same.status, &same.answer["duplicate"]), (Some(0), &json!(true)));
    assert_eq!((other.status, &other.answer["other_document"]), (Some(1), &json!(true)));
    assert!(other.said.contains("use another key"), "{}", other.said);

    let late = ["enqueue", "--delay", "1h", "--expires-in", "1h", text(&ada)];
    let late = worker(&folder, &late).await;
    assert_eq!(late.status, Some(2));
    assert!(late.said.contains("--expires-in must be longer than --delay"), "{}", late.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_job_sets_the_exit_status_and_can_be_retried() {
    let (folder, gateway) = (TempDir::new().unwrap(), start(Profile::V2026_9_6, |_| {}).await);
    let mut document = documents::provision(&gateway.url(), "Ada");
    document["gateway"]["token"] = json!("wrong");
    let file = write(&folder, "job.json", document.to_string());
    let id =
        worker(&folder, &["enqueue", text(&file)]).await.answer["id"].as_str().unwrap().to_owned();
    assert_eq!(worker(&folder, &["run", "--until-idle"]).await.status, Some(1));
    let shown = worker(&folder, &["jobs", "show", &id]).await.answer;
    assert_eq!(
        (&shown["state"], &shown["failure"]["code"]),
        (&json!("blocked"), &json!("unauthorized"))
    );
    let retried = worker(&folder, &["jobs", "retry", &id]).await;
    assert_eq!(
        (retried.status, &retried.answer["state"]),
        (Some(0), &json!("ready")),
        "{}",
        retried.said
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_servers_are_status_3_and_wrong_settings_are_status_2() {
    let folder = TempDir::new().unwrap();
    let file =
        write(&folder, "job.json", documents::cleanup("ws://127.0.0.1:9", "Ada").to_string());
    assert_eq!(worker(&folder, &["apply", text(&file)]).await.status, Some(3));
    let nowhere = folder.path().join("nowhere.sock");
    let url = format!("unix://{}", text(&nowhere));
    assert_eq!(
        worker(&folder, &["--redis-url", &url, "enqueue", text(&file)]).await.status,
        Some(3)
    );

    let config = write(&folder, "worker.toml", "[worker]\nconcurency = 3\n");
    let wrong = worker(&folder, &["--config", text(&config), "config"]).await;
    assert_eq!(wrong.status, Some(2));
    assert!(wrong.said.contains("`worker.concurency` is not a setting"), "{}", wrong.said);
    assert_eq!(worker(&folder, &["jobs", "show", "x"]).await.status, Some(2));

    let config = write(&folder, "ca.toml", "[gateway]\nca_file = \"/nowhere/ca.pem\"\n");
    for command in [vec!["apply", text(&file)], vec!["run", "--until-idle"]] {
        let wrong = worker(&folder, &[vec!["--config", text(&config)], command].concat()).await;
        assert_eq!(wrong.status, Some(2), "{}", wrong.said);
        assert!(
            wrong.said.contains("gateway.ca_file") && wrong.said.contains("/nowhere/ca.pem"),
            "{}",
            wrong.said
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_can_be_explained_and_rendered_offline() {
    let folder = TempDir::new().unwrap();
    let file =
        write(&folder, "job.json", documents::provision("ws://127.0.0.1:9", "Ada L.").to_string());
    let explained = worker(&folder, &["explain", text(&file)]).await;
    assert_eq!(explained.answer["session_key"], "agent:ada-l:main");
    assert_eq!(explained.answer["workspace_path"], "/srv/openclaw/workspace-ada-l");
    assert_eq!(explained.answer["context"]["auth_token"], "***");
    assert_eq!(explained.answer["files"].as_array().map(Vec::len), Some(12));
    let revealed = worker(&folder, &["explain", "--reveal", text(&file)]).await;
    assert_eq!(revealed.answer["context"]["auth_token"], AGENT_TOKEN);

    let mut by_id = documents::provision("ws://127.0.0.1:9", "Ada L.");
    by_id["gateway"].as_object_mut().unwrap().retain(|name, _| name == "id");
    let by_id = write(&folder, "by-id.json", by_id.to_string());
    for (command, field, words) in [
        ("explain", "/nothing", "the newest connection that is stored for the gateway"),
        ("plan", "/plan/summary", "the document has no url"),
    ] {
        let said = worker(&folder, &[command, text(&by_id)]).await;
        let said = said.answer.pointer(field).map(ToString::to_string).unwrap_or_default();
        assert!(said.contains(words), "{command}: {said}");
    }

    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    write(&folder, "out/TOOLS.md", "an earlier version");
    std::fs::set_permissions(out.join("TOOLS.md"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let rendered = worker(&folder, &["render", text(&file), "--out", text(&out)]).await;
    assert_eq!(rendered.status, Some(0), "{}", rendered.said);
    assert!(std::fs::read_to_string(out.join("TOOLS.md")).unwrap().contains(AGENT_TOKEN));
    assert_eq!(
        std::fs::metadata(out.join("TOOLS.md")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        (&explained.answer["warnings"], &rendered.answer["warnings"]),
        (&json!([]), &json!([]))
    );

    let mut odd = documents::provision("ws://127.0.0.1:9", "Ada L.");
    odd["agent"]["heartbeat_config"] = json!({ "evry": "5m" });
    odd["agent"]["soul_template"] = json!("{{ 'w' * 12001 }}");
    let file = write(&folder, "odd.json", odd.to_string());
    let explained = worker(&folder, &["explain", text(&file)]).await.answer["warnings"].to_string();
    assert!(
        explained.contains("heartbeat.evry") && explained.contains("did you mean `every`?"),
        "{explained}"
    );
    let rendered =
        worker(&folder, &["render", text(&file), "--out", text(&out)]).await.answer["warnings"]
            .to_string();
    assert!(rendered.contains("SOUL.md: it has 12001 characters"), "{rendered}");
    assert!(explained.contains("SOUL.md: it has 12001 characters"), "{explained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_files_are_readable_by_their_owner_only_under_any_umask() {
    let gateway = start(Profile::V2026_9_6, |_| {}).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for umask in ["000", "022"] {
        let folder = TempDir::new().unwrap();
        let file =
            write(&folder, "job.json", documents::provision(&gateway.url(), "Ada").to_string());
        let (data, mirror) = (folder.path().join("data/of/worker"), folder.path().join("mirror"));
        let worker = || {
            let worker = Worker::new(&data).env("MISSION_LOCAL_WORKSPACE_ROOT", &mirror);
            worker.env("MISSION_HTTP_ADDR", "127.0.0.1:0").with_umask(umask)
        };
        assert_eq!(worker().run(&["enqueue", text(&file)]).await.status, Some(0));
        let ran = worker().run(&["run", "--until-idle"]).await;
        assert_eq!(ran.status, Some(0), "{}", ran.said);
        for kept in ["http.token", "device.key"] {
            assert_eq!(mode(&data.join(kept)), 0o600, "{kept} under {umask}");
        }
        let agent = std::fs::read_dir(&mirror).unwrap().next().unwrap().unwrap().path();
        for folder in [&data, &data.join("redis"), &mirror, &agent] {
            assert_eq!(mode(folder), 0o700, "{} under {umask}", folder.display());
        }
        let mirrored: Vec<_> =
            std::fs::read_dir(&agent).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(
            !mirrored.is_empty() && mirrored.iter().all(|file| mode(file) == 0o600),
            "{mirrored:?} under {umask}"
        );
    }
}
