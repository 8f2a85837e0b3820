//! Compares expressions of Jinja2, as users write them in templates, with the output of Jinja2
//! 3.1.6, which `record.py` recorded.

use mission_core::context::Context;
use mission_core::overrides::{Overrides, TemplateError};
use serde_json::{Value, json};

use crate::vectors::jobs;

/// The expressions whose output differs here, with the reason. docs/templates.md explains these to
/// the authors of templates.
const DIFFERENT: &[(&str, &[&str])] = &[
    (
        "lists and dictionaries do not change once they are made",
        &[
            "{% set a = [1] %}{% set _ = a.append(2) %}{{ a }}",
            "{% set d = {} %}{% set _ = d.update({'a': 1}) %}{{ d }}",
            "{{ {'a': 1}.pop('a') }}",
            "{{ {'a': 1}.setdefault('b', 2) }}",
            "{{ {'a': 1}.update({'b': 2}) }}",
            "{{ [1].append(2) }}",
            "{{ [1,2].pop() }}",
            "{{ [2,1].sort() }}",
            "{{ [2,1].reverse() }}",
            "{{ [1].extend([2]) }}",
            "{{ [1].insert(0, 2) }}",
        ],
    ),
    (
        "chance would make another document in each run",
        &[
            "{{ [1,2,3]|random in [1,2,3] }}",
            "{{ ['x']|random }}",
            "{{ []|random|default('-') }}",
            "{{ 'aaa'|random }}",
            "{{ lipsum(1)|length > 10 }}",
        ],
    ),
    (
        "values have no Python classes, no bytes, and methods are no values",
        &[
            "{{ 'x'.__class__ }}",
            "{{ ''.__class__.__mro__ }}",
            "{{ 'abc'.__len__() }}",
            "{{ {'a': 1}.__len__() }}",
            "{{ {'a': 1}.fromkeys(['x']) }}",
            "{{ (5).bit_length() }}",
            "{{ 2.0.is_integer() }}",
            "{{ (2.0).is_integer() }}",
            "{{ (255).to_bytes(1) }}",
            "{{ 'Hello'.encode() }}",
            "{{ 'a'.encode('utf-8').decode('utf-8') }}",
            "{{ 'Hello'.translate({}) }}",
            "{{ agent_name|attr('upper')() }}",
        ],
    ),
    (
        "escaped text is joined with other text unchanged",
        &[
            "{{ ('<b>'|e) + '<i>' }}",
            "{{ '<i>' + ('<b>'|e) }}",
            "{{ ('a<b'|e).replace('b','>') }}",
            "{{ ('{}'|e).format('<') }}",
            "{{ ('<a,b'|e).split(',')|map('e')|join('|') }}",
            "{{ [('<a'|e)] }}",
        ],
    ),
    (
        "the engine does not know this syntax",
        &[
            "{{ +1 }}",
            "{{ 1,2 }}",
            "{{ 'x',  }}",
            "{{ '{ü}'.format(ü=1) }}",
            "{% print 'x' %}",
            "{{ self is defined }}",
        ],
    ),
    (
        "macros take what they name, and a default does not see the other arguments",
        &[
            "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, x=2) }}",
            "{% macro m(x, y=x) %}{{ y }}{% endmacro %}{{ m(1) }}",
            "{% macro m(a) %}{% endmacro %}{{ m.name }} {{ m.arguments }}",
        ],
    ),
    (
        "the engine shows lists in the place of Python's views and ranges, and namespaces as \
            dictionaries",
        &[
            "{{ range(3) }}",
            "{{ {'a': 1}.items() }}",
            "{{ {'a': 1}.keys() }}",
            "{{ namespace() is mapping }}",
        ],
    ),
    ("values of different types have an order", &["{{ [1,'a']|sort }}", "{{ 1 < 'a' }}"]),
    (
        "the engine does not know how many characters a string still has in a loop",
        &["{% for x in 'abc' %}{{ loop.revindex }}{{ loop.last }}{% endfor %}"],
    ),
    (
        "the engine prints every nested value in lines of its own, in its own order",
        &[
            "{{ {'a': [1, 2]}|pprint }}",
            "{{ [1,'x',none,true]|pprint }}",
            "{{ {'b': 1, 'a': {'c': 2}}|pprint }}",
            "{{ ['a' * 30, 'b' * 30, 'c' * 30]|pprint }}",
        ],
    ),
    ("all white space becomes one space", &["{{ 'a &nbsp; b'|striptags }}"]),
];

fn context() -> Context {
    let given: Value = serde_json::from_str(include_str!("context.json")).expect("the variables");
    let text = |name: &str| given[name].as_str().expect("a text").to_owned();
    let job = jobs::provision(json!({})).expect("a valid job");
    let mut context = Context::for_board(&job, "agent:ada:main", Some("https://mc.example/"));
    context.identity_role = text("identity_role");
    context.identity_custom_instructions = text("identity_custom_instructions");
    context.user_name = text("user_name");
    context.user_notes = text("user_notes");
    context.user_timezone = text("user_timezone");
    let board = context.board.as_mut().expect("an agent of a board");
    board.board_objective = text("board_objective");
    board.board_success_metrics = text("board_success_metrics");
    board.board_target_date = text("board_target_date");
    let variables = context.variables();
    for (name, value) in given.as_object().expect("an object") {
        let is = variables.iter().find(|(variable, _)| variable == name);
        assert_eq!(is.map(|(_, value)| Value::from(*value)).as_ref(), Some(value), "{name}");
    }
    context
}

#[test]
fn expressions_render_as_in_jinja2() {
    let forms: Vec<(String, Option<String>)> =
        serde_json::from_str(include_str!("forms.json")).expect("a table");
    let (context, overrides) = (context(), Overrides::new(None));
    let different: Vec<_> = DIFFERENT.iter().flat_map(|(_, forms)| *forms).collect();
    let (mut wrong, mut differing) = (Vec::new(), 0);
    for (template, wanted) in &forms {
        let is = overrides.render_str("form", template, &context);
        let is_listed = different.contains(&&template.as_str());
        differing += usize::from(is_listed);
        if (is.as_ref().ok() != wanted.as_ref()) != is_listed {
            wrong.push(format!("{template:?}: {is:?}, Jinja2: {wanted:?}, listed: {is_listed}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), forms.len(), wrong.join("\n"));
    assert_eq!(differing, different.len(), "every listed expression is in the table");
    assert!(forms.len() > 1_400, "the table has been cut");
}

/// A wide text costs fuel for its width before it is built.
#[test]
fn no_text_is_built_wider_than_the_fuel_allows() {
    for wide in [
        "{{ 'x'|center(10**9) }}",
        "{{ 'x'|center(10**30) }}",
        "{{ 'x'.center(10**9) }}",
        "{{ 'x'.ljust(10**9) }}",
        "{{ 'x'.rjust(10**12, 'ö') }}",
        "{{ 'x'.zfill(10**9) }}",
        "{{ '\\t'.expandtabs(10**9) }}",
        "{{ '\\t\\t\\t\\t'.expandtabs(10**8) }}",
        "{{ 'x' * 10**9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%.1000000000f' % 1 }}",
        "{{ '%*d' % (10**9, 1) }}",
        "{{ '%-*d' % (-10**9, 1) }}",
        "{{ '%99999999999999999999999d' % 1 }}",
        "{{ '%(a)1000000000s' % {'a': 1} }}",
        "{{ '%1000000000s'|format('x') }}",
        "{{ '{:1000000000}'.format('x') }}",
        "{{ '{:.1000000000f}'.format(1.5) }}",
        "{{ '{:{w}}'.format('x', w=10**9) }}",
        "{{ '{:01000000000%}'.format(1.5) }}",
        "{{ '{a:1000000000}'.format_map({'a': 1}) }}",
        "{{ 'a\\nb'|indent(10**9) }}",
        "{{ 'a\\nb'|indent(10**9, first=true) }}",
        "{{ {'a': [1]}|tojson(indent=10**9) }}",
        "{{ ('a ' * 9999)|wordwrap(1, true, 'x' * 99999) }}",
        "{{ ('a' * 9999)|replace('a', 'b' * 99999) }}",
        "{{ ('a' * 9999).replace('a', 'b' * 99999) }}",
        "{{ ('x' * 99999).join('a' * 9999) }}",
        "{{ ('a' * 9999)|replace('', 'b' * 99999) }}",
        "{{ [1]|batch(10**9, 'x')|list }}",
        "{{ [1]|slice(10**9)|list }}",
        "{{ (['x' * 9999] * 9999)|map('center', 20000)|list }}",
        "{{ range(100000)|map('center', 100000)|list }}",
        "{{ ('https://a.org ' * 9999)|urlize(target='x' * 99999) }}",
        "{{ ('%s' * 99999) % ('x' * 99999) }}",
    ] {
        let error = Overrides::new(None).render_str("wide", wide, &context()).expect_err(wide);
        let is_bounded =
            matches!(error, TemplateError::OutOfFuel { .. } | TemplateError::Failed { .. });
        assert!(is_bounded && error.to_string().contains("line 1"), "{wide}: {error}");
    }
    // Truncating a short text to a billion characters costs nothing.
    let short = Overrides::new(None).render_str("short", "{{ 'x'|truncate(10**9) }}", &context());
    assert_eq!(short.as_deref(), Ok("x"));
}

#[test]
fn line_numbers_are_kept_when_a_percent_is_rewritten() {
    let error =
        Overrides::new(None).render_str("t", "{{ '%s' %\n 1 }}\n\n{{ 5 % 'a' }}", &context());
    let TemplateError::Failed { place, reason } = error.expect_err("a number and a text") else {
        panic!()
    };
    assert_eq!(
        (place.line, reason.as_str()),
        (Some(4), "tried to use % operator on unsupported types number and string")
    );
}
