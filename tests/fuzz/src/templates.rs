//! Templates that users write: they end soon, in little memory, with a short text or a plain error.

use std::sync::LazyLock;

use mission_core::Job;
use mission_core::apply::Wanted;
use mission_core::context::Context;
use mission_core::overrides::{MAX_OUTPUT_BYTES, Overrides};

use super::{TOKEN, job, plain};

/// Files to include, extend and import; one of them includes itself.
const FILES: [(&str, &str); 4] = [
    ("part.md", "a part of {{ agent_name }}"),
    ("base.md", "{% block a %}x{% endblock %}{% block b %}{{ self.a() }}{% endblock %}"),
    ("macros.md", "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}"),
    ("loop.md", "{% include 'loop.md' %}"),
];

static CONTEXT: LazyLock<Context> = LazyLock::new(|| {
    let Job::Provision(_) = job(0) else { unreachable!("the first is a provision") };
    Wanted::of(&job(0), None).expect("it wants an agent").context
});
static OVERRIDES: LazyLock<Overrides> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("mission-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    for (name, text) in FILES {
        std::fs::write(dir.join(name), text).expect("a file");
    }
    Overrides::new(Some(dir))
});

/// Tries one input.
pub fn run(input: &[u8]) {
    let Ok(source) = std::str::from_utf8(input) else { return };
    match OVERRIDES.render_str("template", source, &CONTEXT) {
        Ok(text) => assert!(text.len() <= MAX_OUTPUT_BYTES),
        Err(error) => {
            plain(&error.to_string(), 2048);
            // A template has the token to write; what is wrong with a template is for everybody to read.
            assert!(source.contains(TOKEN) || !error.to_string().contains(TOKEN), "{error}");
        }
    }
}
