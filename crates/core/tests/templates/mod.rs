//! Tests of users' templates: their sources, their limits and their errors.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mission_core::context::Context;
use mission_core::documents::Document;
use mission_core::model::Agent;
use mission_core::overrides::{MAX_OUTPUT_BYTES, MAX_SOURCE_BYTES, Overrides, TemplateError};
use mission_core::render::{Reader, Renderer, TemplatesConfig};
use serde_json::json;
use tempfile::TempDir;

use crate::vectors::jobs;

const TOKEN: &str = "tok-123";

fn context() -> Context {
    let job = jobs::provision(json!({})).expect("a valid job");
    assert_eq!(Context::for_board(&job, "", None).auth_token, TOKEN);
    Context::for_board(&job, "agent:ada:main", Some("https://mc.example"))
}

fn agent(parts: &[(&str, &str)]) -> Agent {
    let mut agent = jobs::plain_agent();
    for (field, text) in parts {
        agent[field] = json!(text);
    }
    jobs::agent(&agent)
}

fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, source) in files {
        fs::write(dir.path().join(name), source).expect("a writable folder");
    }
    dir
}

fn overrides(dir: &Path) -> Overrides {
    Overrides::new(Some(dir.to_owned()))
}

/// Renders a template in a directory that contains these other files.
fn run(source: &str, files: &[(&str, &str)]) -> Result<String, TemplateError> {
    overrides(dir(files).path()).render_str("agent.soul_template", source, &context())
}

fn fault(source: &str, files: &[(&str, &str)]) -> TemplateError {
    run(source, files).expect_err("the template is faulty")
}

#[test]
fn a_text_comes_from_the_agent_then_the_directory_then_the_shipped_ones() {
    let dir = dir(&[
        ("SOUL.md", "soul of the directory"),
        ("MAIN_TOOLS.md", "for main agents"),
        ("USER.md", " \n"),
    ]);
    let context = context();
    let render = |shipped: bool, document: Document, agent: &Agent| {
        let renderer = Renderer::new(TemplatesConfig { dir: Some(dir.path().to_owned()), shipped });
        let reader = Reader { agent, context: &context, refused: &BTreeSet::new() };
        renderer.render(document, reader).expect("the templates are fine")
    };
    let (plain, own) = (agent(&[]), agent(&[("soul_template", "soul of {{ agent_name }}")]));
    for shipped in [true, false] {
        assert_eq!(render(shipped, Document::Soul, &own).as_deref(), Some("soul of Ada Lovelace"));
        assert_eq!(
            render(shipped, Document::Soul, &plain).as_deref(),
            Some("soul of the directory")
        );
        assert_eq!(
            render(shipped, Document::User, &plain),
            None,
            "a file that comes out empty is not written"
        );
    }
    assert!(render(true, Document::Tools, &plain).is_some_and(|text| text.contains(TOKEN)));
    assert_eq!(render(false, Document::Tools, &plain), None);
    assert_eq!(
        render(false, Document::Memory, &plain).as_deref(),
        Some("# MEMORY\n\nBootstrap pending.\n")
    );
}

#[test]
fn only_the_shipped_texts_depend_on_refused_documents() {
    let (context, agent) = (context(), agent(&[]));
    let refused = BTreeSet::from([Document::Tools]);
    let reader = Reader { agent: &agent, context: &context, refused: &refused };
    let shipped = Renderer::new(TemplatesConfig::default())
        .render(Document::Agents, reader)
        .expect("no templates");
    assert!(shipped.is_some_and(|text| text.contains(TOKEN)), "AGENTS carries the credentials");

    let dir = dir(&[("AGENTS.md", "just this")]);
    let renderer =
        Renderer::new(TemplatesConfig { dir: Some(dir.path().to_owned()), shipped: true });
    assert_eq!(
        renderer.render(Document::Agents, reader).expect("a fine template").as_deref(),
        Some("just this")
    );
}

/// More people can read a config than a workspace.
#[test]
fn a_heartbeat_prompt_never_has_the_token() {
    let (context, agent) = (context(), agent(&[]));
    let reader = Reader {
        agent: &agent,
        context: &context,
        refused: &BTreeSet::from([Document::Heartbeat, Document::Tools]),
    };
    let prompt = |source: &str, shipped: bool| {
        let dir = dir(&[("HEARTBEAT.md", source)]);
        let renderer = Renderer::new(TemplatesConfig { dir: Some(dir.path().to_owned()), shipped });
        renderer.heartbeat_prompt(reader).expect("a fine template")
    };
    let pointer = "The credentials for this are in AGENTS.md of your workspace.";
    let clean = prompt("Look at {{ board_name }}.", true);
    assert_eq!((clean.text.as_deref(), clean.left_out), (Some("Look at Launch Board."), None));
    for token in [
        "{{ auth_token }}",
        "{{ auth_token|upper }}",
        "{{ auth_token[1:] }}",
        "{{ auth_token|list|join }}",
    ] {
        let cut = prompt(&format!("Look.\n\nX-Token: {token}\nBearer {token}\nGo on."), true);
        assert_eq!(cut.text, Some(format!("Look.\n\n{pointer}\nGo on.")), "{token}");
        assert!(cut.left_out.is_some_and(|why| why.contains("points to the file")));
    }
    for source in
        ["{{ auth_token }}", "{{ {'tok-123': 'a'}[auth_token] }}", "{{ auth_token }}\n---\n"]
    {
        let shipped = prompt(source, true);
        assert!(
            shipped.text.is_some_and(|text| !text.contains(TOKEN) && text.contains("heartbeat")),
            "{source}"
        );
        assert!(shipped.left_out.is_some());
        let none = prompt(source, false);
        assert!(none.text.is_none() && none.left_out.is_some(), "{source}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let dir = dir(&[("SOUL.md", "\u{feff}a\r\nb")]);
    let text = overrides(dir.path()).render_file("SOUL.md", &context()).expect("fine");
    assert_eq!(text.as_deref(), Some("a\nb"));
}

#[test]
fn a_file_that_is_changed_is_read_again() {
    let dir = dir(&[("SOUL.md", "before")]);
    let (overrides, context) = (overrides(dir.path()), context());
    assert_eq!(
        overrides.render_file("SOUL.md", &context).expect("fine").as_deref(),
        Some("before")
    );
    fs::write(dir.path().join("SOUL.md"), "after").expect("a writable folder");
    assert_eq!(overrides.render_file("SOUL.md", &context).expect("fine").as_deref(), Some("after"));
}

#[test]
fn work_is_bounded() {
    for endless in [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='x') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor \
            %}",
        "{{ 'x' * 100000000000 }}",
        "{% for a in 'x' * 30000000 %}{% endfor %}",
        "{{ range(100000)|list|join('x' * 1000) }}",
    ] {
        assert!(matches!(fault(endless, &[]), TemplateError::OutOfFuel { .. }), "{endless}");
    }
}

#[test]
fn a_panic_of_the_engine_is_an_error_of_the_template() {
    let TemplateError::Failed { place, reason } = fault("{% import 'a.md' as b<c %}", &[]) else {
        panic!()
    };
    assert_eq!(
        (place.template.as_str(), reason.as_str()),
        ("agent.soul_template", "the template engine cannot handle it")
    );
}

#[test]
fn recursion_is_bounded() {
    for (endless, files) in [
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", vec![]),
        ("{% include 'A.md' %}", vec![("A.md", "{% include 'A.md' %}")]),
        ("{% extends 'A.md' %}", vec![("A.md", "{% extends 'A.md' %}")]),
        ("{% import 'A.md' as a %}", vec![("A.md", "{% import 'A.md' as a %}")]),
    ] {
        assert!(matches!(fault(endless, &files), TemplateError::Failed { .. }), "{endless}");
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(9999), ")".repeat(9999));
    assert!(matches!(fault(&deep, &[]), TemplateError::Syntax { .. }));
}

#[test]
fn sizes_are_bounded() {
    let (full, long) = ("x".repeat(MAX_SOURCE_BYTES), "é".repeat(MAX_SOURCE_BYTES / 2 + 1));
    assert_eq!(run(&full, &[]).as_ref(), Ok(&full));
    for error in [fault(&long, &[]), fault("{% include 'A.md' %}", &[("A.md", &long)])] {
        assert!(matches!(error, TemplateError::TooLarge { what: "source", .. }), "{error}");
    }
    let output = format!("{{{{ 'x' * {} }}}}", MAX_OUTPUT_BYTES + 1);
    assert!(matches!(fault(&output, &[]), TemplateError::TooLarge { what: "output", .. }));
}

#[test]
fn only_plain_names_of_the_directory_can_be_included() {
    let outside = dir(&[("SECRET.md", "secret")]);
    let inside = dir(&[("A.md", "a")]);
    fs::create_dir(inside.path().join("sub")).expect("a writable folder");
    fs::write(inside.path().join("sub/B.md"), "b").expect("a writable folder");
    let secret = outside.path().join("SECRET.md").display().to_string();
    let parent = format!("../{}/SECRET.md", outside.path().file_name().expect("a name").display());
    let include = |name: &str| {
        overrides(inside.path()).render_str("t", &format!("{{% include '{name}' %}}"), &context())
    };
    let long = "\u{c}x".repeat(200);
    for name in [
        secret.as_str(),
        &parent,
        &long,
        "sub/B.md",
        "./A.md",
        "sub",
        ".",
        "..",
        "",
        "sub\\\\B.md",
        "A.md\\0",
    ] {
        let missing = include(name);
        assert!(matches!(missing, Err(TemplateError::NotFound { .. })), "{name}: {missing:?}");
        assert!(!missing.unwrap_err().to_string().contains(char::is_control), "{name:?}");
    }
    assert_eq!(include("A.md").as_deref(), Ok("a"));
    let without = Overrides::new(None).render_str("t", "{% include 'A.md' %}", &context());
    assert!(
        matches!(without, Err(TemplateError::NotFound { .. })),
        "no directory, nothing to include"
    );
}

#[cfg(unix)]
#[test]
fn links_may_not_lead_out_of_the_directory() {
    use std::os::unix::fs::symlink;

    let outside = dir(&[("SECRET.md", "secret")]);
    let inside = dir(&[]);
    // Configuration is mounted into containers like this.
    fs::create_dir(inside.path().join("..data")).expect("a writable folder");
    fs::write(inside.path().join("..data/SOUL.md"), "mounted").expect("a writable folder");
    symlink("..data/SOUL.md", inside.path().join("SOUL.md")).expect("a link");
    symlink(outside.path().join("SECRET.md"), inside.path().join("USER.md")).expect("a link");
    symlink("nowhere", inside.path().join("BOOT.md")).expect("a link");
    let (overrides, context) = (overrides(inside.path()), context());
    assert_eq!(
        overrides.render_file("SOUL.md", &context).expect("fine").as_deref(),
        Some("mounted")
    );
    assert_eq!(overrides.render_file("USER.md", &context), Ok(None));
    assert_eq!(overrides.render_file("BOOT.md", &context), Ok(None));
}

#[test]
fn an_unreadable_directory_is_not_treated_as_empty() {
    let gone = dir(&[]).path().to_owned();
    let error =
        overrides(&gone).render_file("SOUL.md", &context()).expect_err("the directory is missing");
    assert!(matches!(error, TemplateError::Unreadable { .. }), "{error}");

    let binary = dir(&[]);
    fs::write(binary.path().join("SOUL.md"), [0xff, 0xfe]).expect("a writable folder");
    let error = overrides(binary.path()).render_file("SOUL.md", &context()).expect_err("not text");
    assert!(matches!(error, TemplateError::Unreadable { .. }), "{error}");
}

#[test]
fn errors_say_where_and_why() {
    let undefined = fault("one\ntwo {{ nope }}", &[]);
    let remedy = "use a known variable, or guard it with `is defined` or `default`";
    assert_eq!(
        undefined.to_string(),
        format!("agent.soul_template, line 2: `nope` is undefined; {remedy}")
    );
    let included = fault(
        "{% include 'A.md' %}",
        &[("A.md", "\n\n{% include 'B.md' %}"), ("B.md", "\n{{ 1 / 0 }}")],
    );
    assert!(included.to_string().starts_with("B.md, line 2: "), "{included}");
    let syntax = fault("{% if %}", &[]);
    assert!(
        matches!(syntax, TemplateError::Syntax { .. }) && syntax.to_string().contains("line 1"),
        "{syntax}"
    );
}

#[test]
fn errors_and_debug_forms_hold_no_values() {
    for leaky in [
        "{{ -auth_token }}",
        "{{ auth_token + 1 }}",
        "{{ auth_token / auth_token }}",
        "{{ auth_token.nope }}",
        "{{ {}[auth_token] }}",
        "{{ auth_token() }}",
        "{{ auth_token|attr(auth_token) }}",
        "{{ auth_token|replace }}",
        "{{ auth_token|int(base=auth_token) }}",
        "{{ auth_token|round(auth_token) }}",
        "{{ [1]|sort(**{auth_token: 1}) }}",
        "{{ (auth_token ~ '%q')|format(1) }}",
        "{{ [1]|sum(start=auth_token) }}",
        "{{ dict(**{auth_token: 1}).nope }}",
        "{{ [1]|map(auth_token)|list }}",
        "{{ [1]|select(auth_token)|list }}",
        "{{ range(auth_token) }}",
        "{{ 'x'.split(**{auth_token: 1}) }}",
        "{{ 'x'|indent(**{auth_token: 1}) }}",
        "{% macro m() %}{% endmacro %}{{ m(**{auth_token: 1}) }}",
        "{% include auth_token %}",
        "{% include [auth_token, auth_token] %}",
        "{% extends auth_token %}",
        "{% import auth_token as a %}",
    ] {
        let error = fault(leaky, &[]);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(TOKEN), "{leaky}: {shown}");
    }
    assert!(!format!("{:?}", context()).contains(TOKEN));
}
