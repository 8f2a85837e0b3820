//! Templates that would exhaust the stack or the memory of the process, if the engine ran them as
//! they are. A process that has no stack left is aborted, so such a test never just fails.

use mission_core::context::Context;
use mission_core::overrides::{Overrides, TemplateError};
use serde_json::json;

use crate::vectors::jobs;

fn run(source: &str) -> Result<String, TemplateError> {
    let job = jobs::provision(json!({})).expect("a valid job");
    let context = Context::for_board(&job, "agent:ada:main", Some("https://mc.example"));
    Overrides::new(None).render_str("agent.soul_template", source, &context)
}

/// Asserts that a template fails with the place of the fault.
#[track_caller]
fn fails(source: &str) -> String {
    let short: String = source.chars().take(200).collect();
    let now = std::time::Instant::now();
    eprintln!("RUN {short}");
    let result = run(source);
    if now.elapsed().as_millis() > 300 {
        eprintln!("SLOW {:?} {short}", now.elapsed());
    }
    let error = result.expect_err(&short);
    let is_own = matches!(
        error,
        TemplateError::Failed { .. }
            | TemplateError::Syntax { .. }
            | TemplateError::OutOfFuel { .. }
            | TemplateError::Undefined { .. }
    );
    let text = error.to_string();
    assert!(is_own && text.starts_with("agent.soul_template, line "), "{short}: {text}");
    text
}

#[test]
fn a_namespace_cannot_contain_itself() {
    for uses in [
        "{{ n }}",
        "{{ n|tojson }}",
        "{{ n ~ 'x' }}",
        "{{ n == n }}",
        "{{ n == m }}",
        "{{ n < m }}",
        "{{ n in [m] }}",
        "{{ {n: 1} }}",
        "{{ {'a': 1}[n] }}",
        "{{ n|pprint }}",
        "{{ n|string|length }}",
        "{{ [n, m]|sort }}",
        "{{ [n, m]|unique|list }}",
        "{{ '%s' % n }}",
        "{{ '%r' % n }}",
        "{{ '{!r}'.format(n) }}",
        "{{ 'x'.join([n]) }}",
        "",
    ] {
        for cycle in [
            "{% set n.n = n %}{% set m.n = m %}",
            "{% set n.n = [n] %}{% set m.n = [m] %}",
            "{% set n.n = {'a': (1, n)} %}{% set m.n = {'a': (1, m)} %}",
            "{% set n.n = {(1, n): 1} %}",
            "{% set n.a, n.n = 1, n %}",
            "{% set n . n = n %}",
            "{% set n.m = m %}{% set m.n = n %}",
            "{% set a, (n.n, b) = 1, (n, 2) %}",
            "{%- set n.n=n -%}",
            "{%+ set n.n = 1 and n +%}",
            "{% raw %}{% endraw +%}{% set n.n = n %}",
            "{% raw +%}{{ \" {% endraw %}{% set n.n = n %}",
            "{# {% #}{% set n.n = n %}",
            "{{ '%}' }}{% set n.n = n if true else 0 %}",
            "{% set n.n = cycler(n) %}",
            "{% set n.n = joiner(n) %}",
            "{% set n.n|default(n, true) %}{% endset %}",
            "{% set n.n = [[n]]|first %}",
            "{% set n.n = n|list or n %}",
            "{% for i in 'a' %}{{ loop.changed(loop) }}{% endfor %}",
            "{% for i in 'a' %}{% set l = loop %}{{ loop.changed([l]) }}{% endfor %}",
            "{% for i in 'a' %}{% set n.l = loop %}{% endfor %}",
            "{% macro f(x) %}{% set n.n = x %}{% endmacro %}{{ f(n) }}",
            "{% set n.n = namespace(a=n) %}",
            "{% set n.n = dict(a=n) %}",
        ] {
            let text = fails(&format!(
                "{{% set n = namespace() %}}{{% set m = namespace() %}}{cycle}{uses}"
            ));
            assert!(text.contains("cannot contain"), "{cycle}: {text}");
        }
    }
}

#[test]
fn values_do_not_nest_without_end() {
    let many = |part: &str| part.repeat(12_000);
    let grow = |step: &str, uses: &str| {
        format!(
            "{{% set n = namespace(l=[1], d={{}}) %}}{{% for i in range(20000) %}}{{% set n.l = \
                {step} %}}{{% endfor %}}{uses}"
        )
    };
    for step in [
        "[n.l]",
        "(n.l,)",
        "n.l,",
        "{'a': n.l}",
        "{(n.l,): 1}",
        "dict(a=n.l)",
        "[n.l] + [1]",
        "[n.l] * 2",
        "[n.l][:1]",
        "[n.l]|reverse",
        "[n.l]|batch(1)",
        "[n.l]|batch(1)|list",
        "n.l|batch(1)|list",
        "n.l|slice(1)|list",
        "[n.l]|map('list')|list if false else [n.l]",
        "[{'k': 1, 'v': n.l}]|groupby('k')",
        "{'a': n.l}|items|list",
        "{'a': n.l}|dictsort",
        "{'a': n.l}.items()",
        "[n.l]|select|list",
        "[n.l]|zip([1])|list",
        "['a', n.l]|unique|list",
    ] {
        fails(&grow(step, ""));
    }
    for source in [
        format!("{{% set x = [1] %}}{}", many("{% set x = [x] %}")),
        format!("{{% set x = [1] %}}{}{{{{ x }}}}", many("{% set x = [x] %}")),
        format!("{{% set x = 1 %}}{}", many("{%set x={1:x}%}")),
        format!("{{% set x = 1 %}}{}", many("{%set x={(x,):1}%}")),
        format!(
            "{{% set x = 1 %}}{}",
            many("{%set x=namespace(x=x)%}").split_at(250_000).0.to_owned() + "%}"
        ),
        format!("{{{{ x{} }}}}", many("|batch(1)")),
        format!("{{% set x = [1]{} %}}", many("[0:]")),
        format!("{{{{ [1]{} }}}}", "|batch(1)".repeat(150)) + &many("{%set x=[x]%}"),
        "{% macro m(x) %}{{ m([[[[[[[[[[x]]]]]]]]]]) }}{% endmacro %}{{ m(1) }}".to_owned(),
        "{% macro m(x, y=[[[[[x]]]]]) %}{{ m(y) }}{% endmacro %}{{ m(1) }}".to_owned(),
        "{% macro m(x) %}{% call m([[[[[[[[[[x]]]]]]]]]]) %}{% endcall %}{% endmacro %}{{ m(1) }}"
            .to_owned(),
        "{% macro m(x) %}{{ m(*[[[[[[[[x]]]]]]]]) }}{% endmacro %}{{ m(1) }}".to_owned(),
        "{% macro m(x) %}{{ m(**{'x': [[[[[[x]]]]]]}) }}{% endmacro %}{{ m(1) }}".to_owned(),
        "{% macro if(x) %}{{ 1 is eq if([[[[[[x]]]]]]) }}{% endmacro %}{{ if(1) }}".to_owned(),
        "{% set x = [1] %}".to_owned()
            + &"{% for not in [[[[[[[[[[[[''~not]]]]]]]]]]]][0:] %}{% for x in [x] %}".repeat(70)
            + &"{% endfor %}".repeat(140)
            + "{{ nope }}",
        "{% for x in [1] recursive %}{{ loop([[[[[[[[[[x]]]]]]]]]]) }}{% endfor %}".to_owned(),
        "{% set x = [1] %}".to_owned()
            + &"{% for x in [[[[[[[[[[x]]]]]]]]]] %}".repeat(140)
            + &"{% endfor %}".repeat(140),
        "{% set x = [1] %}".to_owned()
            + &"{% with x = [[[[[[[[[[x]]]]]]]]]] %}".repeat(140)
            + &"{% endwith %}".repeat(140),
    ] {
        fails(&source);
    }
    // Nothing is deep here, but each slice would refer to the one before.
    for step in ["n.l[0:]", "n.l[::-1]", "n.l|reverse", "n.l * 1", "n.l + []", "[] + n.l[0:]"] {
        assert_eq!(run(&grow(step, "{{ n.l }}")).as_deref(), Ok("[1]"), "{step}");
    }
    fails(&grow("cycler(n.l)", ""));
    fails(&grow("joiner(n.l)", ""));
    fails(&grow("[joiner(n.l)]", ""));
}

#[test]
fn long_chains_in_a_source_are_refused() {
    for (before, part, after) in [
        ("{{ ", "not ", "1 }}"),
        ("{{ ", "-", "1 }}"),
        ("{{ ", "- ", "1 }}"),
        ("{{ 1", " if 1 else 1", " }}"),
        ("{{ 1", " if 1", " }}"),
        ("{{ 1", "|e", " }}"),
        ("{{ 1", "+1", " }}"),
        ("{{ 1", "~1", " }}"),
        ("{{ 1", "%1", " }}"),
        ("{{ 1", "**1", " }}"),
        ("{{ 1", "*1", " }}"),
        ("{{ 1", " and 1", " }}"),
        ("{{ 1", " or 1", " }}"),
        ("{{ 1", "<1", " }}"),
        ("{{ 1", " in 1", " }}"),
        ("{{ 1", " is defined", " }}"),
        ("{{ a", ".a", " }}"),
        ("{{ a", "[0]", " }}"),
        ("{{ a", "[:]", " }}"),
        ("{{ a", "()", " }}"),
        ("{{ ", "a(", " }}"),
        ("{{ ", "[", " }}"),
        ("{{ ", "(", " }}"),
        ("{{ ", "{1:", " }}"),
        ("{{ ", "{", " }}"),
        ("{% set ", "(", " = 1 %}"),
        ("{% for ", "(", " in 1 %}"),
        ("{% set a", ".a", " = 1 %}"),
        ("{% filter a", "|a", " %}{% endfilter %}"),
        ("{% set a", "|a", " %}{% endset %}"),
        ("{% if 1 %}", "{% elif 1 %}", "{% endif %}"),
        ("", "{% if 1 %}", ""),
        ("", "{% for a in b %}", ""),
        ("", "{% with %}", ""),
        ("", "{% macro a() %}", ""),
        ("", "{% call a() %}", ""),
        ("", "{% filter a %}", ""),
        ("", "{% set a %}", ""),
        ("", "{% autoescape true %}", ""),
        ("", "{% if 1 %}{% else %}", ""),
        ("", "{% if 1 %}{% elif 1 %}{% elif 1 %}{% elif 1 %}{% elif 1 %}", ""),
    ] {
        let source = format!("{before}{}{after}", part.repeat(250_000 / part.len()));
        fails(&source);
        fails(&format!("{before}{}", part.repeat(250_000 / part.len())));
    }
    for (before, part, after) in [
        ("{{ ", "not ", "1 }}"),
        ("{{ ", "-", "1 }}"),
        ("{{ 1", " if 1 else 1", " }}"),
        ("{{ 1", "|e", " }}"),
        ("{{ 1", "~1", " }}"),
        ("{{ [1]", "[:]", " }}"),
        ("{% set x = [1]", "|batch(1)", " %}"),
        ("{{ [1]", "|batch(1)", " }}"),
    ] {
        // Nothing overflows at the limit itself.
        for times in [240, 330, 490, 990] {
            let _ = run(&format!("{before}{}{after}", part.repeat(times)));
        }
    }
    let elifs = format!("{{% if 0 %}}{}b{{% endif %}}", "{% elif 0 %}a".repeat(900) + "{% else %}");
    assert_eq!(run(&elifs).as_deref(), Ok("b"));
    let long = format!("{{{{ [{}]|length }}}}", "1 + 1, ".repeat(20_000));
    assert_eq!(run(&long).as_deref(), Ok("20000"));
}

#[test]
fn small_values_with_large_texts_are_refused() {
    // The first text leaves little fuel, which ends each of these sooner.
    let start =
        "{% set x = 'x' * 12000000 %}{% set n = namespace(l=[range(9999)|list]) %}{{ n.l|length }}";
    assert_eq!(run(start).as_deref(), Ok("1"));
    for uses in [
        "{{ n.l }}",
        "{{ n.l ~ '' }}",
        "{{ '' ~ n.l }}",
        "{{ n.l|string|length }}",
        "{{ n.l|upper|length }}",
        "{{ n.l|tojson|length }}",
        "{{ n.l|pprint|length }}",
        "{{ [n.l]|join|length }}",
        "{{ '%s' % n.l }}",
        "{{ '%r' % [n.l] }}",
        "{{ '{}'.format(n.l) }}",
        "{{ '{!r}'.format(n.l) }}",
        "{{ n.l == [n.l] }}",
        "{{ [1] is eq(n.l) }}",
        "{{ {n.l: 1} }}",
        "{{ {}[n.l] }}",
        "{% set x = n.l %}",
        "{% for x in n.l %}{% endfor %}",
    ] {
        let many = format!("[{}]", "n.l, ".repeat(9_999));
        let uses = uses.replace("n.l", &many);
        fails(&format!("{start}{uses}"));
    }
    for (start, step) in [("[1]", "[n.l, n.l]"), ("1", "{1: n.l, 2: n.l}"), ("1", "[n.l] * 2")] {
        fails(&format!(
            "{{% set n = namespace(l={start}) %}}{{% for i in range(80) %}}{{% set n.l = {step} \
                %}}{{% endfor %}}"
        ));
    }
    fails("{{ [[[[1] * 1000] * 1000] * 1000] * 1000 }}");
    fails("{{ ([[[[1] * 1000] * 1000] * 1000] * 1000)|upper }}");
    let texts =
        format!("{{% set s = 'x' * 9999999 %}}{{{{ [{}]|upper|length }}}}", "s,".repeat(9999));
    fails(&texts);
    fails(&texts.replace("|upper|length", " ~ ''"));
    fails(&texts.replace("|upper|length", ""));
}

#[test]
fn ordinary_values_are_kept_as_they_are() {
    for (source, text) in [
        (
            "{% set n = namespace(c=0) %}{% for i in range(999) %}{% set n.c = n.c + 1 %}{% \
                endfor %}{{ n.c }}",
            "999",
        ),
        (
            "{% set n = namespace(l=[]) %}{% for i in range(500) %}{% set n.l = n.l + [i] %}{% \
                endfor %}{{ n.l|length }} {{ n.l[499] }}",
            "500 499",
        ),
        (
            "{% set n = namespace(l=[]) %}{% for i in range(98) %}{% set n.l = [n.l] %}{% \
                endfor %}{{ n.l|string|length }}",
            "198",
        ),
        (
            "{% set n = namespace(child=namespace(x=1)) %}{% set n.child.x = 2 %}{{ n.child.x }}",
            "2",
        ),
        (
            "{% for a in [[1, 2]] %}{% set outer = loop %}{% for b in a %}{{ outer.index }}{{ \
                loop.changed(b) }}{% endfor %}{% endfor %}",
            "1True1True",
        ),
        (
            "{% set n = namespace() %}{% set n.c = cycler('a', 'b') %}{{ n.c.next() }}{{ \
                n.c.next() }}",
            "ab",
        ),
        ("{% for not in [1, 2] %}{{ 0 + not }}{% endfor %}", "12"),
        ("{{ a is defined and not 1 is eq -1 }}{{ 3 is eq 3 and [1][0] }}", "False1"),
        (
            "{% set n = namespace(s='') %}{% for i in range(800) %}{% set n.s = n.s ~ '%40d' % i \
                %}{% endfor %}{{ n.s|length }}",
            "32000",
        ),
        ("{% set a, b = 1, [2] %}{{ a }}{{ b }}", "1[2]"),
        ("{% with a = 1 * 2, b = (3, 4) %}{{ a }}{{ b }}{% endwith %}", "2(3, 4)"),
        (
            "{% macro m(a, b=[1] * 2) %}{{ a }}{{ b }}{{ caller() }}{% endmacro %}{% call \
                m(-1 * 2) %}x{% endcall %}",
            "-2[1, 1]x",
        ),
        ("{% for a in [1, 2, 3] if a is not divisibleby 2 %}{{ a }}{% endfor %}", "13"),
        (
            "{% for a in [[1, [2]], [3]] recursive %}{% if a is iterable %}{{ loop(a) }}{% \
                else %}{{ a }}{% endif %}{% endfor %}",
            "123",
        ),
        ("{{ 2 not in [1] * 3 and 1 in [1] }}{{ 2 ** -1 * 4 }}{{ 1 ~ 2 * 3 ~ 'x' }}", "True2.016x"),
        ("{% set x | upper | replace('A', 'b') %}a{% endset %}{{ x }}", "b"),
        ("{{ dict(a=1, **{'b': 2 * 3}).b }}{{ '{} {}'.format(*[1, 2]) }}", "61 2"),
        (
            "{% for g, l in [{'a': 1}, {'a': 2}]|groupby('a') %}{{ g }}{{ l|length }}{% endfor %}",
            "1121",
        ),
        ("{% set g = [{'a': 1}]|groupby('a') %}{{ g[0].grouper }}{{ g[0].list|length }}", "11"),
        ("{% set r = range(3) %}{{ r|list }}{{ r|length }}{{ [1, 2, 3][1:] }}", "[0, 1, 2]3[2, 3]"),
    ] {
        assert_eq!(run(source).as_deref(), Ok(text), "{source}");
    }
}

/// The engine counts neither the items of nested lists nor the length of keys and compared texts.
#[test]
fn work_inside_of_one_step_is_bounded() {
    for source in [
        "{% set s = 'x' * 15000000 %}{% set t = 'x' * 15000000 %}{% for i in range(100000) %}{% \
            if s == t %}{% endif %}{% endfor %}",
        "{% set s = 'x' * 25000000 %}{% set d = {s: 1} %}{% for i in range(100000) %}{% if s in \
            d %}{% endif %}{% endfor %}",
        "{% set s = 'x' * 25000000 %}{% set d = {s: 1} %}{% for i in range(100000) %}{% if \
            d[s] %}{% endif %}{% endfor %}",
        "{% set s = 'x' * 25000000 %}{% for i in range(100000) %}{% set d = {s: 1} %}{% endfor %}",
        "{% set a = range(90000)|list %}{% set b = [a] %}{% set c = [range(90000)|list] %}{% for \
            i in range(100000) %}{% if b == c %}{% endif %}{% endfor %}",
        "{% set a = range(90000)|list %}{% set b = [a] %}{% for i in range(100000) %}{% \
            if {b: 1} %}{% endif %}{% endfor %}",
        "{% set a = range(90000)|list %}{% set b = [a] %}{% for i in range(100000) %}{% if b is \
            eq(b) %}{% endif %}{% endfor %}",
        "{% set a = range(90000)|list %}{% set b = [a] %}{% set c = [range(90000)|list] %}{% for \
            i in range(100000) %}{% if b is eq(c) %}{% endif %}{% endfor %}",
        "{{ ('a ' * 10000000)|wordwrap|length }}",
        "{{ range(100000)|map('string')|sort|join|length }}",
        "{{ (range(100000)|list * 5)|unique|list|length }}",
        "{{ (['x' * 9999] * 99999)|join|length }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ range(10**12) }}",
        "{{ [1] * 10**8 }}",
        "{% block a %}{{ self.a() }}{% endblock %}",
        "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
        "{% macro m(c) %}{% for x in [[1]] recursive %}{{ loop([[1]]) }}{{ m(1) }}{% endfor %}{% \
            endmacro %}{{ m(1) }}",
        "{% for x in [1] recursive %}{{ loop([1]) ~ loop([1]) }}{% endfor %}",
        "{% macro f(n) %}{{ f(n) ~ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% \
            endfor %}{{ n.s }}",
        "{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s = '%s%s' % (n.s, \
            n.s) %}{% endfor %}{{ n.s }}",
        "{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s = [n.s, n.s]|join %}\
            {% endfor %}{{ n.s }}",
        "{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s %}{{ n.s }}{{ n.s }}\
            {% endset %}{% endfor %}{{ n.s }}",
        "{% set n = namespace(s=[1]) %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% \
            endfor %}{{ n.s }}",
    ] {
        fails(source);
    }
}
