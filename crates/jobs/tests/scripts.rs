//! Producers in other languages run the same script as this crate.

use std::path::Path;

#[test]
fn the_python_client_ships_this_script() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../clients/python/src/mission_worker/enqueue.lua");
    let text = mission_jobs::queue::enqueue_script();
    if std::env::var_os("MISSION_WRITE_SCRIPTS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let shipped = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        shipped, text,
        "regenerate it with MISSION_WRITE_SCRIPTS=1 cargo test -p mission-jobs --test main scripts"
    );
}
