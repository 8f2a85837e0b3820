//! `worker bench` in its smallest sizes: it measures something, does not touch the configured
//! queue, and cleans up. No test judges the speed.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::processes::Worker;

/// Runs one measurement and returns its result.
async fn measure(arguments: &[&str]) -> Value {
    let (data, temporary) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    // Nothing listens there, so a measurement that used the configured queue would fail.
    let worker = Worker::new(data.path()).env("MISSION_REDIS_URL", "unix:///nowhere/redis.sock");
    let ended = worker.env("TMPDIR", temporary.path()).run(&[&["bench"], arguments].concat()).await;
    assert_eq!(ended.status, Some(0), "{}", ended.said);
    let [machine, result] = ended.answers.as_slice() else {
        panic!("two documents: {:?}", ended.answers)
    };
    assert!(machine["machine"]["redis"].is_string());
    for dir in [data.path(), temporary.path()] {
        assert_eq!(
            std::fs::read_dir(dir).unwrap().count(),
            0,
            "nothing is left in {}",
            dir.display()
        );
    }
    result[arguments[0]].clone()
}

fn positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.is_finite() && number > 0.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn throughput_is_measured_for_each_way_of_moving_jobs() {
    let sizes =
        ["throughput", "--jobs", "40", "--gateways", "3", "--concurrency", "2,4", "--rounds", "2"];
    let result = measure(&sizes).await;
    let phases = result["phases"].as_array().unwrap();
    let names: Vec<_> = phases.iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "enqueue, one at a time",
            "enqueue, 50 at a time",
            "process, 2 at once",
            "process, 4 at once"
        ]
    );
    for phase in phases {
        assert!(
            positive(&phase["per_second"]["min"]) && phase["per_second"]["count"] == 2,
            "{phase}"
        );
        assert!(positive(&phase["per_job"]["scripts"]), "{phase}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn latency_is_measured_for_each_job() {
    let result = measure(&["latency", "--jobs", "3"]).await;
    let spread = &result["milliseconds"];
    assert!(spread["count"] == 3 && positive(&spread["min"]), "{spread}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_is_measured_with_waiting_and_running_jobs() {
    let jobs = ["scale", "--jobs", "40", "--gateways", "3", "--concurrency", "4"];
    let result = measure(&[&jobs[..], &["--in-flight", "20", "--hold", "0"]].concat()).await;
    assert_eq!(result["backlogs"][0]["state"], "ready");
    assert_eq!(result["backlogs"][1]["state"], "scheduled");
    for backlog in result["backlogs"].as_array().unwrap() {
        assert!(
            positive(&backlog["bytes_per_job"]) && positive(&backlog["drained_per_second"]),
            "{backlog}"
        );
    }
    assert_eq!([&result["held"]["begun"], &result["held"]["begun_again"]], [&json!(20), &json!(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_is_measured_with_redis_and_without() {
    let result = measure(&["idle", "--seconds", "1"]).await;
    assert!(positive(&result["resident_mib"]), "{result}");
    // The unit is percent of a core; a worker in a busy loop would use 100.
    assert!(result["cpu_percent_without_redis"].as_f64().unwrap() < 90.0, "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_is_measured_for_each_killed_worker() {
    let result = measure(&["recovery", "--workers", "2"]).await;
    assert!(result["seconds"]["count"] == 2 && positive(&result["seconds"]["min"]), "{result}");
}
