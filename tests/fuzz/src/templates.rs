//! Templates that users write: rendering them ends soon, takes little memory, and gives a short
//! text or a plain error.

use std::panic::{set_hook, take_hook};
use std::path::Path;
use std::sync::{LazyLock, Once};

use mission_core::Job;
use mission_core::apply::Desired;
use mission_core::context::Context;
use mission_core::overrides::{MAX_OUTPUT_BYTES, Overrides};

use super::{TOKEN, job, plain};

static CONTEXT: LazyLock<Context> = LazyLock::new(|| {
    let Job::Provision(_) = job(0) else { unreachable!("job 0 is a provision") };
    Desired::of(&job(0), None).expect("a provision defines an agent").context
});
/// Holds the files that templates can include, extend and import. One of them includes itself.
static OVERRIDES: LazyLock<Overrides> = LazyLock::new(|| {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [package.join("templates"), package.join("fuzz/templates")];
    Overrides::new(folders.into_iter().find(|folder| folder.is_dir()))
});

/// Silences panics of the template engine, which become errors of the template. All other panics
/// are reported.
static HOOK: Once = Once::new();

fn ignore_panics_of_the_engine() {
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|place| place.file().contains("/minijinja-")) {
            before(panic);
        }
    }));
}

/// Runs the target on one input.
pub fn run(input: &[u8]) {
    HOOK.call_once(ignore_panics_of_the_engine);
    let Ok(source) = std::str::from_utf8(input) else { return };
    match OVERRIDES.render_str("template", source, &CONTEXT) {
        Ok(text) => assert!(text.len() <= MAX_OUTPUT_BYTES),
        Err(error) => {
            plain(&error.to_string(), 2048);
            // A template may write the token into its file, but everybody can read the error.
            assert!(source.contains(TOKEN) || !error.to_string().contains(TOKEN), "{error}");
        }
    }
}
