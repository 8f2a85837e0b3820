//! Templates that users write: they end soon, in little memory, with a short text or a plain error.

use std::panic::{set_hook, take_hook};
use std::path::Path;
use std::sync::{LazyLock, Once};

use mission_core::Job;
use mission_core::apply::Desired;
use mission_core::context::Context;
use mission_core::overrides::{MAX_OUTPUT_BYTES, Overrides};

use super::{TOKEN, job, plain};

static CONTEXT: LazyLock<Context> = LazyLock::new(|| {
    let Job::Provision(_) = job(0) else { unreachable!("the first is a provision") };
    Desired::of(&job(0), None).expect("it wants an agent").context
});
/// Its files are there to include, extend and import; one of them includes itself.
static OVERRIDES: LazyLock<Overrides> = LazyLock::new(|| {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [package.join("templates"), package.join("fuzz/templates")];
    Overrides::new(folders.into_iter().find(|folder| folder.is_dir()))
});

/// Lets the engine stumble: what it panics at is to be an error of the template. All other panics
/// are found.
static HOOK: Once = Once::new();

fn let_the_engine_stumble() {
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|place| place.file().contains("/minijinja-")) {
            before(panic);
        }
    }));
}

/// Tries one input.
pub fn run(input: &[u8]) {
    HOOK.call_once(let_the_engine_stumble);
    let Ok(source) = std::str::from_utf8(input) else { return };
    match OVERRIDES.render_str("template", source, &CONTEXT) {
        Ok(text) => assert!(text.len() <= MAX_OUTPUT_BYTES),
        Err(error) => {
            plain(&error.to_string(), 2048);
            // A template has the token to write; what is wrong with a template is for everybody to
            // read.
            assert!(source.contains(TOKEN) || !error.to_string().contains(TOKEN), "{error}");
        }
    }
}
