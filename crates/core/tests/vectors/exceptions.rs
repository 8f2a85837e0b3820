//! The cases in which this crate differs from the Python code, on purpose or out of necessity.

/// The families that are not run here, each with the reason.
pub(crate) const FAMILIES_NOT_RUN: [(&str, &str); 8] = [
    ("extract_agent_id", NO_PROBE),
    ("list_supported_files", NO_PROBE),
    ("list_agent_files", NO_PROBE),
    (
        "agent_ids",
        "the existence of an agent is read from the config, because lists show agents that only \
            have a folder",
    ),
    (
        "upsert_agent",
        "agents are registered by one config write; the scenarios compare the results",
    ),
    (
        "set_agent_files",
        "files are compared by content and written at once; the scenarios compare the results",
    ),
    ("gateway_url", "a token is never put into a URL; no gateway reads it there"),
    (
        "connect_params",
        "the old form is refused by gateways since 2026.2.26; the simulator's handshake tests \
            check ours",
    ),
];

const NO_PROBE: &str = "each file is checked with `agents.files.get`";

const CONTROLS: &str =
    "a name with control characters, which terminals would interpret, is refused";

/// The cases that differ: the family, the names of the cases, and the reason.
pub(crate) const CASES: &[(&str, &[&str], &str)] = &[
    // Values.
    (
        "workspace_path",
        &["root space"],
        "a job with a blank root is refused, as one without a root is",
    ),
    (
        "workspace_path",
        &[
            "root dotdot",
            "root dotdot with key",
            "root newline",
            "root newline with key",
            "session newline",
        ],
        "a job whose root has `..` in it, or whose root or key has control characters, is refused",
    ),
    ("workspace_path", &["name nul", "name bidi controls"], CONTROLS),
    ("build_context", &["name nul"], CONTROLS),
    ("build_main_context", &["name nul"], CONTROLS),
    ("build_main_context", &["workspace_root empty"], "a job without a root is refused"),
    ("python_str", &["bigint"], "JSON numbers beyond 64 bits are read as floats"),
    (
        "build_context",
        &["goal_confirmed null -> 'none'"],
        "null means not confirmed, which templates know as `false`",
    ),
    (
        "build_context",
        &["preferred nbsp only -> IndexError", "preferred newline only -> IndexError"],
        BLANK_NAME,
    ),
    (
        "build_main_context",
        &["preferred blank only -> IndexError", "preferred nbsp only -> IndexError"],
        BLANK_NAME,
    ),
    (
        "preferred_name",
        &["blank only -> IndexError", "nbsp only -> IndexError", "newline only -> IndexError"],
        BLANK_NAME,
    ),
    (
        "should_include_bootstrap",
        &[
            "'UPDATE' force=False bootstrap present",
            "'UPDATE' force=True bootstrap present",
            "'UPDATE' force=True bootstrap missing",
            "'' force=False none",
            "'' force=False bootstrap missing",
            "'' force=True bootstrap present",
            "'' force=True bootstrap missing",
            "'rotate' force=False other only",
            "'rotate' force=False bootstrap missing",
            "'rotate' force=True bootstrap present",
            "' update' force=False other only",
            "' update' force=False bootstrap missing",
            "' update' force=True bootstrap missing",
        ],
        "a job with an unknown action is refused; Python treated each as `provision`",
    ),
    // Templates.
    (
        "render_overrides",
        &["loop vars"],
        "the engine does not know how many characters a string still has in a loop",
    ),
    ("render_overrides", &["pprint"], "the engine breaks the lines of all nested values"),
    ("render_overrides", &["sandbox escape attempt"], "values have no Python classes"),
    (
        "render_selection",
        &["override for main agent too"],
        "Python escaped HTML in an agent's own templates by accident",
    ),
    (
        "render_selection",
        &["dot name -> TemplateNotFound", "absolute existing path -> TemplateNotFound"],
        "a name with a path in it names no template, whatever is on the disk",
    ),
    (
        "render_selection",
        &["shipped HEARTBEAT_LEAD requested for main -> undefined", "shipped names all files"],
        "shipped texts are served under the names of documents only",
    ),
    (
        "template_variables",
        &["HEARTBEAT_AGENT.md", "HEARTBEAT_LEAD.md", "MAIN_AGENTS.md", "MAIN_USER.md"],
        "the token is in TOOLS only, or in AGENTS where a gateway refuses TOOLS",
    ),
    // The gateway's config and answers.
    (
        "updated_agent_list",
        &["padded id not matched", "case differs"],
        "gateways normalize ids, so such entries are one agent, and a second entry would stand \
            beside it for ever",
    ),
    (
        "updated_agent_list",
        &["heartbeat replaced not merged", "empty heartbeat"],
        "keys that people added to a heartbeat stay on gateways with a list, as they do on those \
            with entries",
    ),
    ("config_agent_list", &["hash empty"], "an empty hash is not sent"),
    (
        "config_patch_params",
        &[
            "no hash",
            "hash int sent",
            "visibility complete -> no channels",
            "visibility partial",
            "empty workspace",
        ],
        "in an empty list the gateway's default agent is put first, else the new agent would \
            become the default",
    ),
    (
        "config_patch_params",
        &["no entries still patches"],
        "a list in which nothing differs is not written",
    ),
    (
        "await_response",
        &[
            "ok missing counts as success",
            "ok null counts as success",
            "ok 1",
            "int id not equal",
            "legacy result",
            "legacy error falsy",
            "legacy nothing",
            "req echo same id",
            "empty object skipped",
            "duplicate keys last wins",
        ],
        "no gateway of protocol 3 or 4 sends such a frame; the connection is ended rather than \
            its meaning guessed",
    ),
    // The local mirror.
    (
        "ensure_workspace_file",
        &["stale tmp replaced"],
        "each write has its own temporary name, so two writers never share one",
    ),
    ("ensure_workspace_file", &["same name overwrites mixed"], "files are never overwritten"),
];

const BLANK_NAME: &str = "a blank name counts as none; Python crashed";

/// Returns the names of a family's exceptions.
pub(crate) fn of(family: &str) -> impl Iterator<Item = &'static str> {
    CASES
        .iter()
        .filter(move |(of, ..)| *of == family)
        .flat_map(|(_, names, _)| names.iter().copied())
}
