//! Producers in other languages run the same scripts as this crate.

use std::path::Path;

#[test]
fn the_python_client_ships_these_scripts() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python/src/mission_worker");
    for (name, text) in mission_jobs::queue::producer_scripts() {
        let path = folder.join(format!("{name}.lua"));
        if std::env::var_os("MISSION_WRITE_SCRIPTS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let shipped = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            shipped, text,
            "regenerate {name}.lua with MISSION_WRITE_SCRIPTS=1 cargo test -p mission-jobs --test \
             main scripts"
        );
    }
}
